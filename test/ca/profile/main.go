// Reads SVIDs as Go programs do, and verifies that they have the profile of X509-SVID. A test tool only: it reads JSON
// lines, first one of a cohort, then its leafs, and prints how many it has verified.
package main

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

type line struct {
	// Of a cohort.
	Cohort, Root, Algorithm string
	Now                     int64
	// Of a leaf.
	Chain, Key, Uri, Serial string
	Dns                     []string
	NotBefore, NotAfter     int64
}

func certificates(text string) (found []*x509.Certificate) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		demand(err == nil, "a certificate cannot be parsed: %v", err)
		found = append(found, certificate)
	}
}

var at string

func demand(good bool, format string, values ...any) {
	if !good {
		fmt.Fprintf(os.Stderr, "%s: %s\n", at, fmt.Sprintf(format, values...))
		os.Exit(1)
	}
}

func keyId(certificate *x509.Certificate) []byte {
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	_, err := asn1.Unmarshal(certificate.RawSubjectPublicKeyInfo, &spki)
	demand(err == nil, "its key cannot be parsed: %v", err)
	id := sha1.Sum(spki.Key.Bytes)
	return id[:]
}

// What a signing certificate must be (X509-SVID, sections 3.2, 4.1 and 4.3).
func checkAuthority(authority *x509.Certificate, trustDomain string) {
	demand(authority.IsCA && authority.BasicConstraintsValid, "an authority is no CA")
	demand(authority.KeyUsage == x509.KeyUsageCertSign|x509.KeyUsageCRLSign, "key usage %b", authority.KeyUsage)
	demand(len(authority.URIs) == 1 && authority.URIs[0].String() == trustDomain, "an authority of %v", authority.URIs)
	demand(bytes.Equal(authority.SubjectKeyId, keyId(authority)), "another subject key identifier")
	demand(len(authority.UnhandledCriticalExtensions) == 0, "unknown critical extensions")
}

func checkLeaf(leaf *x509.Certificate, issuer *x509.Certificate, given *line, algorithm string) {
	demand(leaf.Version == 3, "version %d", leaf.Version)
	demand(leaf.SignatureAlgorithm.String() == algorithm, "signed with %v", leaf.SignatureAlgorithm)
	demand(!leaf.IsCA && leaf.BasicConstraintsValid, "basic constraints")
	demand(leaf.KeyUsage == x509.KeyUsageDigitalSignature, "key usage %b", leaf.KeyUsage)
	demand(len(leaf.ExtKeyUsage) == 2 && leaf.ExtKeyUsage[0] == x509.ExtKeyUsageServerAuth &&
		leaf.ExtKeyUsage[1] == x509.ExtKeyUsageClientAuth && len(leaf.UnknownExtKeyUsage) == 0, "purposes")
	for _, extension := range leaf.Extensions {
		if extension.Id.String() == "2.5.29.15" {
			demand(extension.Critical, "its key usage is not critical")
		}
	}
	demand(len(leaf.URIs) == 1 && leaf.URIs[0].String() == given.Uri, "URIs %v", leaf.URIs)
	demand(leaf.URIs[0].Scheme == "spiffe" && len(leaf.URIs[0].Path) > 1, "no SPIFFE ID with a path")
	demand(fmt.Sprint(leaf.DNSNames) == fmt.Sprint(given.Dns), "DNS names %v", leaf.DNSNames)
	demand(len(leaf.EmailAddresses)+len(leaf.IPAddresses) == 0, "other names")
	demand(leaf.SerialNumber.Sign() == 1 && leaf.SerialNumber.BitLen() <= 159, "serial %v", leaf.SerialNumber)
	demand(fmt.Sprintf("%x", leaf.SerialNumber.Bytes()) == given.Serial, "serial %x", leaf.SerialNumber)
	demand(leaf.NotBefore.Unix() == given.NotBefore && leaf.NotAfter.Unix() == given.NotAfter, "dates")
	demand(bytes.Equal(leaf.SubjectKeyId, keyId(leaf)), "another subject key identifier")
	demand(bytes.Equal(leaf.AuthorityKeyId, issuer.SubjectKeyId), "another authority key identifier")
	demand(bytes.Equal(leaf.RawIssuer, issuer.RawSubject), "another issuer")
	demand(len(leaf.UnhandledCriticalExtensions) == 0, "unknown critical extensions")
}

func checkKey(leaf *x509.Certificate, text string) {
	block, rest := pem.Decode([]byte(text))
	demand(block != nil && len(rest) == 0, "its private key is no PEM")
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	demand(err == nil, "its private key cannot be parsed: %v", err)
	public := key.(crypto.Signer).Public().(interface{ Equal(crypto.PublicKey) bool })
	demand(public.Equal(leaf.PublicKey), "its private key does not match")
}

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	lines := json.NewDecoder(input)
	var cohort line
	var roots *x509.CertPool
	count := 0
	for lines.More() {
		var given line
		demand(lines.Decode(&given) == nil, "a line cannot be read")
		if given.Root != "" {
			cohort, at = given, given.Cohort
			root := certificates(given.Root)[0]
			checkAuthority(root, given.Uri)
			roots = x509.NewCertPool()
			roots.AddCert(root)
			continue
		}
		at = cohort.Cohort + ": " + given.Uri
		chain := certificates(given.Chain)
		demand(len(chain) == 2, "%d certificates", len(chain))
		checkAuthority(chain[1], cohort.Uri)
		demand(chain[1].MaxPathLenZero, "its issuer may sign authorities")
		intermediates := x509.NewCertPool()
		intermediates.AddCert(chain[1])
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates,
				CurrentTime: time.Unix(cohort.Now, 0), KeyUsages: []x509.ExtKeyUsage{usage}})
			demand(err == nil, "it does not verify: %v", err)
		}
		checkLeaf(chain[0], chain[1], &given, cohort.Algorithm)
		checkKey(chain[0], given.Key)
		count++
	}
	fmt.Println(count)
}
