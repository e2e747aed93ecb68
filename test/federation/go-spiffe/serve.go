package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// serve is a bundle endpoint on a free loopback port, until stdin ends.
//
// Arguments: trust domain, bundle, `web` or `spiffe`, certificate, key (files). Each line of stdin names three files that
// replace bundle, certificate and key. Prints the port, then {} for each replacement.
func serve(args []string) error {
	trustDomain, err := spiffeid.TrustDomainFromString(args[0])
	if err != nil {
		return err
	}
	bundles := spiffebundle.NewSet()
	setBundle := func(file string) error {
		bundle, err := spiffebundle.Load(trustDomain, file)
		if err == nil {
			bundles.Add(bundle)
		}
		return err
	}
	if err := setBundle(args[1]); err != nil {
		return err
	}
	handler, err := federation.NewHandler(trustDomain, bundles)
	if err != nil {
		return err
	}
	var present presented
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: present.certificate}
	setCertificate := present.setWeb
	if args[2] == "spiffe" {
		config, setCertificate = tlsconfig.TLSServerConfig(&present), present.setSpiffe
	}
	if err := setCertificate(args[3], args[4]); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	tell(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		files := strings.Fields(lines.Text())
		if err := setBundle(files[0]); err != nil {
			return err
		}
		if err := setCertificate(files[1], files[2]); err != nil {
			return err
		}
		tell(map[string]any{})
	}
	return server.Close()
}

// presented is what the endpoint presents now.
type presented struct {
	mutex sync.Mutex
	web   *tls.Certificate
	svid  *x509svid.SVID
}

func (p *presented) setWeb(cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.web = &pair
	return nil
}

func (p *presented) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.web, nil
}

func (p *presented) setSpiffe(cert, key string) error {
	svid, err := x509svid.Load(cert, key)
	if err != nil {
		return err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.svid = svid
	return nil
}

// GetX509SVID is what tlsconfig asks for in each handshake.
func (p *presented) GetX509SVID() (*x509svid.SVID, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.svid, nil
}
