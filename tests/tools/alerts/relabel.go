package main

import (
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"
)

// Series and what Prometheus does to them, as in a scrape configuration's metric_relabel_configs.
type relabeling struct {
	Configs []*relabel.Config   `yaml:"configs"`
	Series  []map[string]string `yaml:"series"`
}

func relabelSeries(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var found relabeling
	if err := yaml.Unmarshal(content, &found); err != nil {
		return err
	}
	for _, config := range found.Configs {
		if err := config.Validate(model.UTF8Validation); err != nil {
			return err
		}
	}
	kept := []map[string]string{}
	for _, series := range found.Series {
		builder := labels.NewBuilder(labels.FromMap(series))
		if relabel.ProcessBuilder(builder, found.Configs...) {
			kept = append(kept, builder.Labels().Map())
		}
	}
	return yaml.NewEncoder(os.Stdout).Encode(kept)
}
