// go-spiffe's federation package as a peer. Prints lines of JSON.
//
// `fetch` (a bundle, once) and `watch` (each update, until stdin ends) have the arguments: trust domain, URL, then
// `web ROOTS.pem` or `spiffe ENDPOINT_ID BUNDLE.json`; the bundle is that of the endpoint's trust domain. For `serve` see
// serve.go.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func main() {
	if len(os.Args) < 5 {
		tell(map[string]any{"error": "usage: fetch|watch|serve TRUST_DOMAIN …"})
		return
	}
	var err error
	switch args := os.Args[2:]; os.Args[1] {
	case "fetch":
		err = fetch(args)
	case "watch":
		err = watch(args)
	case "serve":
		err = serve(args)
	}
	if err != nil {
		tell(map[string]any{"error": err.Error()})
	}
}

func tell(value map[string]any) {
	line, _ := json.Marshal(value)
	fmt.Println(string(line))
}

func authOf(args []string) (federation.FetchOption, error) {
	switch args[0] {
	case "web":
		pem, err := os.ReadFile(args[1])
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		return federation.WithWebPKIRoots(roots), nil
	case "spiffe":
		id, err := spiffeid.FromString(args[1])
		if err != nil {
			return nil, err
		}
		bundle, err := spiffebundle.Load(id.TrustDomain(), args[2])
		if err != nil {
			return nil, err
		}
		return federation.WithSPIFFEAuth(bundle, id), nil
	}
	return nil, fmt.Errorf("no such profile: %s", args[0])
}

func fetch(args []string) error {
	trustDomain, err := spiffeid.TrustDomainFromString(args[0])
	if err != nil {
		return err
	}
	option, err := authOf(args[2:])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	bundle, err := federation.FetchBundle(ctx, trustDomain, args[1], option)
	if err != nil {
		return err
	}
	tell(summary(bundle))
	return nil
}

func summary(bundle *spiffebundle.Bundle) map[string]any {
	sequence, _ := bundle.SequenceNumber()
	hint, _ := bundle.RefreshHint()
	return map[string]any{
		"x509": len(bundle.X509Authorities()), "jwt": len(bundle.JWTAuthorities()),
		"sequence": sequence, "hint": hint.Seconds(),
	}
}

// With https_spiffe, each update authenticates the next fetch.
func watch(args []string) error {
	trustDomain, err := spiffeid.TrustDomainFromString(args[0])
	if err != nil {
		return err
	}
	watcher := &teller{known: spiffebundle.NewSet()}
	var option federation.FetchOption
	if args[2] == "spiffe" {
		id, err := spiffeid.FromString(args[3])
		if err != nil {
			return err
		}
		bundle, err := spiffebundle.Load(id.TrustDomain(), args[4])
		if err != nil {
			return err
		}
		watcher.known.Add(bundle)
		option = federation.WithSPIFFEAuth(watcher.known, id)
	} else if option, err = authOf(args[2:]); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := federation.WatchBundle(ctx, trustDomain, args[1], watcher, option); ctx.Err() == nil {
		return err
	}
	return nil
}

type teller struct {
	known *spiffebundle.Set
}

func (t *teller) NextRefresh(hint time.Duration) time.Duration {
	if hint == 0 {
		return time.Second
	}
	return hint
}

func (t *teller) OnUpdate(bundle *spiffebundle.Bundle) {
	t.known.Add(bundle)
	tell(summary(bundle))
}

func (t *teller) OnError(err error) {
	tell(map[string]any{"error": err.Error()})
}
