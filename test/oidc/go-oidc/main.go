// Verifies the tokens of an OIDC provider with go-oidc: a token on each line of stdin, its subject on each line of stdout.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, os.Args[1])
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: "web"})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if token, err := verifier.Verify(ctx, lines.Text()); err != nil {
			fmt.Println("refused:", err)
		} else {
			fmt.Println(token.Subject)
		}
	}
}
