// What the scenarios run inside a tenant: an HTTP echo server, and an admission webhook that denies with a given text.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
)

func main() {
	listen := flag.String("listen", ":8080", "address to serve on")
	reply := flag.String("reply", "", "text answered to GET /")
	deny := flag.String("deny", "", "text the webhook at /validate denies with")
	certificate := flag.String("certificate", "", "certificate file; plain HTTP without it")
	key := flag.String("key", "", "key file of the certificate")
	flag.Parse()

	http.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, *reply) })
	http.HandleFunc("GET /fresh", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // whoever asks again must dial again
		fmt.Fprintln(w, *reply)
	})
	http.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	http.HandleFunc("POST /validate", func(w http.ResponseWriter, r *http.Request) { validate(w, r, *deny) })
	fmt.Println(*reply)
	if *certificate == "" {
		log.Fatal(http.ListenAndServe(*listen, nil))
	}
	log.Fatal(http.ListenAndServeTLS(*listen, *certificate, *key, nil))
}

// validate answers an AdmissionReview: every request is denied with the text.
func validate(w http.ResponseWriter, r *http.Request, text string) {
	var review struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": "admission.k8s.io/v1",
		"kind":       "AdmissionReview",
		"response": map[string]any{
			"uid":     review.Request.UID,
			"allowed": false,
			"status":  map[string]any{"message": text, "code": http.StatusForbidden},
		},
	})
}
