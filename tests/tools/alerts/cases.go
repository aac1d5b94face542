package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"
)

// A file in promtool's format, as far as alerts need it; anything else in it is refused.
// https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
type file struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	Tests              []group        `yaml:"tests"`
}

type group struct {
	Name        string         `yaml:"name"`
	Interval    model.Duration `yaml:"interval"`
	InputSeries []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	Cases []alertCase `yaml:"alert_rule_test"`
}

// What an alert should be at a moment: firing with these labels and annotations, or silent.
type alertCase struct {
	EvalTime model.Duration `yaml:"eval_time"`
	Alert    string         `yaml:"alertname"`
	Expected []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

func test(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var found file
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&found); err != nil {
		return err
	}
	if found.EvaluationInterval == 0 {
		return errors.New("evaluation_interval is missing")
	}
	for i, name := range found.RuleFiles {
		found.RuleFiles[i] = filepath.Join(filepath.Dir(path), name)
	}
	var problems []error
	for _, group := range found.Tests {
		for _, problem := range group.run(time.Duration(found.EvaluationInterval), found.RuleFiles) {
			problems = append(problems, fmt.Errorf("%s: %w", group.Name, problem))
		}
	}
	return errors.Join(problems...)
}

// run evaluates the rules at each interval from time 0 on, and returns what is not as expected.
func (g *group) run(interval time.Duration, ruleFiles []string) []error {
	expressions := parser.NewParser(parser.Options{})
	series, err := promqltest.NewLazyLoader(g.load(), promqltest.LazyLoaderOpts{
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: expressions,
	})
	if err != nil {
		return []error{err}
	}
	defer series.Close()
	series.SubqueryInterval = interval

	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:    rules.EngineQueryFunc(series.QueryEngine(), series.Storage()),
		AppendableV2: series.Storage(),
		Context:      context.Background(),
		NotifyFunc:   func(context.Context, string, ...*rules.Alert) {},
		Logger:       promslog.NewNopLogger(),
		Parser:       expressions,
	})
	groups, problems := manager.LoadGroups(
		time.Duration(g.Interval), labels.EmptyLabels(), "", nil, false, ruleFiles...)
	if problems != nil {
		return problems
	}
	alerts := alertsIn(groups)

	start := time.Unix(0, 0).UTC()
	for elapsed := time.Duration(0); elapsed <= g.last(); elapsed += interval {
		now := start.Add(elapsed)
		series.WithSamplesTill(now, func(err error) {
			if err != nil {
				problems = append(problems, err)
				return
			}
			for _, each := range groups {
				each.Eval(series.Context(), now)
			}
		})
		for _, alert := range alerts {
			if err := alert.LastError(); err != nil {
				problems = append(problems, fmt.Errorf("%s at %v: %w", alert.Name(), elapsed, err))
			}
		}
		for _, expected := range g.Cases {
			// An evaluation holds until the next.
			if at := time.Duration(expected.EvalTime); elapsed <= at && at < elapsed+interval {
				problems = append(problems, expected.compare(alerts)...)
			}
		}
	}
	return problems
}

// load returns the input series in the language of Prometheus' own tests.
func (g *group) load() string {
	var text strings.Builder
	fmt.Fprintf(&text, "load %s\n", g.Interval)
	for _, each := range g.InputSeries {
		fmt.Fprintf(&text, "  %s %s\n", each.Series, each.Values)
	}
	return text.String()
}

func (g *group) last() time.Duration {
	var latest model.Duration
	for _, each := range g.Cases {
		latest = max(latest, each.EvalTime)
	}
	return time.Duration(latest)
}

func alertsIn(groups map[string]*rules.Group) []*rules.AlertingRule {
	var found []*rules.AlertingRule
	for _, group := range groups {
		for _, rule := range group.Rules() {
			if alert, ok := rule.(*rules.AlertingRule); ok {
				alert.SetRestored(true) // else its series ALERTS is not written
				found = append(found, alert)
			}
		}
	}
	return found
}

func (c *alertCase) compare(alerts []*rules.AlertingRule) []error {
	var expected, firing []string
	for _, each := range c.Expected {
		with := map[string]string{labels.AlertName: c.Alert}
		for name, value := range each.Labels {
			with[name] = value
		}
		expected = append(expected, describe(labels.FromMap(with), labels.FromMap(each.Annotations)))
	}
	known := false
	for _, alert := range alerts {
		if alert.Name() != c.Alert {
			continue
		}
		known = true
		for _, each := range alert.ActiveAlerts() {
			if each.State == rules.StateFiring {
				firing = append(firing, describe(each.Labels, each.Annotations))
			}
		}
	}
	if !known {
		return []error{fmt.Errorf("no rule has the alert %q", c.Alert)}
	}
	slices.Sort(expected)
	slices.Sort(firing)
	if slices.Equal(expected, firing) {
		return nil
	}
	return []error{fmt.Errorf("%s at %s:\n  expected: %s\n  firing: %s",
		c.Alert, c.EvalTime, strings.Join(expected, "\n"), strings.Join(firing, "\n"))}
}

func describe(with, annotations labels.Labels) string {
	return fmt.Sprintf("%s %s", with, annotations)
}
