// A webhook endpoint that verifies what it receives. Needs Go and nothing else.
//
// The part between the two lines of dashes is the webhook contract's own sample, unchanged. It is given the body's
// bytes as they came: decoding them and encoding them again gives other bytes in Go.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// gofmt would have tabs in here; it is as the contract has it.
// ---------------------------------------------------------------------------------------------------------------------
func verifySignature(payload []byte, signature, secret string) bool {
    mac := hmac.New(sha256.New, []byte(secret))
    mac.Write(payload)
    expected := "sha256=" + hex.EncodeToString(mac.Sum(nil))
    return hmac.Equal([]byte(signature), []byte(expected))
}
// ---------------------------------------------------------------------------------------------------------------------

const limit = 4 << 20

// delivery is what this receiver uses of a body.
type delivery struct {
	Change struct {
		ChangeType string `json:"change_type"`
		Sequence   uint64 `json:"sequence"`
		Resource   struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			UID       string `json:"uid"`
		} `json:"resource"`
	} `json:"change"`
}

type receiver struct {
	secret   string
	mu       sync.Mutex
	lastSeen map[string]uint64
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, request.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "Too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "Bad request", http.StatusBadRequest)
		return
	}
	if !verifySignature(payload, request.Header.Get("X-Signature-256"), r.secret) {
		http.Error(w, "Invalid signature", http.StatusUnauthorized)
		return
	}
	var body delivery
	if err := json.Unmarshal(payload, &body); err != nil {
		log.Printf("failed to process a delivery: %v", err)
		http.Error(w, "Failed", http.StatusInternalServerError)
		return
	}
	r.process(body)
	fmt.Fprintln(w, "OK")
}

// process is called once for each verified delivery, before its answer leaves.
func (r *receiver) process(body delivery) {
	change, resource := body.Change, body.Change.Resource
	name := resource.Name
	if resource.Namespace != "" {
		name = resource.Namespace + "/" + name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	verdict := "ignored"
	// the recipe: ignore what is not higher than the sequence last seen for that object
	if change.Sequence > r.lastSeen[resource.UID] {
		r.lastSeen[resource.UID] = change.Sequence
		verdict = "verified"
	}
	fmt.Printf("%s %s %s %s sequence=%d\n", verdict, change.ChangeType, resource.Kind, name, change.Sequence)
}

// setting is a variable of the environment, or what it is unless it is set.
func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" {
		log.Fatal("WEBHOOK_SECRET is not set: it is the value in the subscription's Secret")
	}
	host, port := setting("HOST", "127.0.0.1"), setting("PORT", "9000")
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /webhook", &receiver{secret: secret, lastSeen: map[string]uint64{}})
	fmt.Printf("listening on http://%s/webhook\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadTimeout: time.Minute}
	log.Fatal(server.Serve(listener))
}
