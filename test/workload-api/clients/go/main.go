// Watches the Workload API with go-spiffe, and prints each update as a line of JSON.
package main

import (
	"context"
	"encoding/json"
	"os"
	"sort"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

type update struct {
	IDs     []string `json:"ids,omitempty"`
	Serial  string   `json:"serial,omitempty"`
	Domains []string `json:"domains,omitempty"`
	Roots   int      `json:"roots,omitempty"`
	Error   string   `json:"error,omitempty"`
}

type printer struct{ encoder *json.Encoder }

func (p printer) OnX509ContextUpdate(x509Context *workloadapi.X509Context) {
	one := update{Serial: x509Context.DefaultSVID().Certificates[0].SerialNumber.Text(16)}
	for _, svid := range x509Context.SVIDs {
		one.IDs = append(one.IDs, svid.ID.String())
	}
	for _, bundle := range x509Context.Bundles.Bundles() {
		one.Domains = append(one.Domains, bundle.TrustDomain().IDString())
		one.Roots += len(bundle.X509Authorities())
	}
	sort.Strings(one.Domains)
	_ = p.encoder.Encode(one)
}

func (p printer) OnX509ContextWatchError(err error) {
	_ = p.encoder.Encode(update{Error: status.Code(err).String()})
}

func main() {
	if err := workloadapi.WatchX509Context(context.Background(), printer{json.NewEncoder(os.Stdout)}); err != nil {
		_ = json.NewEncoder(os.Stdout).Encode(update{Error: "ended: " + err.Error()})
		os.Exit(1)
	}
}
