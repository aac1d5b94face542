// Command alerts checks and tests Prometheus rules with Prometheus' own packages.
//
//	alerts check RULES   reads rules as Prometheus does
//	alerts test CASES    runs the `alert_rule_test` cases of a promtool test file
//	alerts relabel FILE  prints the `series` of a file, relabeled by its `configs`
//
// `promtool` does the same. It also contains the service discovery of every cloud, which takes many
// minutes to build.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: alerts check RULES | alerts test CASES | alerts relabel FILE")
	}
	switch arguments[0] {
	case "check":
		return check(arguments[1])
	case "test":
		return test(arguments[1])
	case "relabel":
		return relabelSeries(arguments[1])
	default:
		return fmt.Errorf("unknown command %q", arguments[0])
	}
}

func check(path string) error {
	_, problems := rulefmt.ParseFile(
		path, false, model.UTF8Validation, parser.NewParser(parser.Options{}), promslog.NewNopLogger())
	return errors.Join(problems...)
}
