// Fetches a bundle as go-spiffe does, and prints one line of JSON.
//
// Arguments: trust domain, URL, then `web ROOTS.pem` or `spiffe ENDPOINT_ID BUNDLE.json`; the bundle is that of the
// endpoint's trust domain.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func main() {
	result, err := fetch(os.Args[1:])
	if err != nil {
		result = map[string]any{"error": err.Error()}
	}
	line, _ := json.Marshal(result)
	fmt.Println(string(line))
}

func fetch(args []string) (map[string]any, error) {
	trustDomain, err := spiffeid.TrustDomainFromString(args[0])
	if err != nil {
		return nil, err
	}
	var option federation.FetchOption
	switch args[2] {
	case "web":
		pem, err := os.ReadFile(args[3])
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		option = federation.WithWebPKIRoots(roots)
	case "spiffe":
		id, err := spiffeid.FromString(args[3])
		if err != nil {
			return nil, err
		}
		bundle, err := spiffebundle.Load(id.TrustDomain(), args[4])
		if err != nil {
			return nil, err
		}
		option = federation.WithSPIFFEAuth(bundle, id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	bundle, err := federation.FetchBundle(ctx, trustDomain, args[1], option)
	if err != nil {
		return nil, err
	}
	sequence, _ := bundle.SequenceNumber()
	hint, _ := bundle.RefreshHint()
	return map[string]any{
		"x509": len(bundle.X509Authorities()), "jwt": len(bundle.JWTAuthorities()),
		"sequence": sequence, "hint": hint.Seconds(),
	}, nil
}
