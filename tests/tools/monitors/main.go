// Reads one object of monitoring.coreos.com as YAML from stdin, into the Prometheus Operator's own
// type, and fails if it has a field that the type doesn't have or a value that doesn't fit.
package main

import (
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(from io.Reader) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	var object struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		return err
	}
	var into any
	switch object.Kind {
	case "ServiceMonitor":
		into = &monitoring.ServiceMonitor{}
	case "PodMonitor":
		into = &monitoring.PodMonitor{}
	case "PrometheusRule":
		into = &monitoring.PrometheusRule{}
	default:
		return fmt.Errorf("%q is no kind that this reads", object.Kind)
	}
	return yaml.UnmarshalStrict(text, into)
}
