// Evaluates PromQL for the tests: a question as JSON on stdin, an answer as JSON on stdout.
//
// Series are given in Prometheus' own notation of rule tests ("up 1 1 0x5"), one value a step. An
// alert fires when its expression has held for as long as its `for` says, as Prometheus does it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

type series struct {
	Name   string `json:"name"`
	Values string `json:"values"`
}

// question: with Rules the alerts of that file are run over the series, else Queries once at AtS.
type question struct {
	StepS   int64    `json:"step_s"`
	AtS     int64    `json:"at_s"`
	Series  []series `json:"series"`
	Rules   string   `json:"rules"`
	Queries []string `json:"queries"`
}

type sample struct {
	Labels map[string]string `json:"labels"`
	Value  string            `json:"value"` // as text: JSON knows no NaN
}

type firing struct {
	Alert  string            `json:"alert"`
	Labels map[string]string `json:"labels"`
	SinceS int64             `json:"since_s"`
}

type answer struct {
	Firing  []firing   `json:"firing,omitempty"`
	Results [][]sample `json:"results,omitempty"`
	Errors  []string   `json:"errors,omitempty"`
	Alerts  []string   `json:"alerts,omitempty"`
}

// memory is a storage of a few series.
type memory struct {
	entries []storage.Series
}

func (m *memory) Querier(_, _ int64) (storage.Querier, error) { return m, nil }

func (m *memory) Select(
	_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher,
) storage.SeriesSet {
	found := []storage.Series{}
	for _, entry := range m.entries {
		if matches(entry.Labels(), matchers) {
			found = append(found, entry)
		}
	}
	return &set{found: found, at: -1}
}

func (*memory) LabelValues(
	context.Context, string, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*memory) LabelNames(
	context.Context, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*memory) Close() error { return nil }

func matches(own labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(own.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

type set struct {
	found []storage.Series
	at    int
}

func (s *set) Next() bool                      { s.at++; return s.at < len(s.found) }
func (s *set) At() storage.Series              { return s.found[s.at] }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// point is one float sample.
type point struct {
	t int64
	v float64
}

func (p point) ST() int64                     { return 0 }
func (p point) T() int64                      { return p.t }
func (p point) F() float64                    { return p.v }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }

func load(asked question, reader parser.Parser) (*memory, int64, error) {
	own := &memory{}
	end := asked.AtS
	for _, given := range asked.Series {
		name, values, err := reader.ParseSeriesDesc(given.Name + " " + given.Values)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", given.Name, err)
		}
		points := []chunks.Sample{}
		for step, value := range values {
			if !value.Omitted {
				points = append(points, point{int64(step) * asked.StepS * 1000, value.Value})
			}
		}
		own.entries = append(own.entries, storage.NewListSeries(name, points))
		end = max(end, int64(len(values)-1)*asked.StepS)
	}
	return own, end, nil
}

func ask(engine *promql.Engine, own *memory, expr string, atS int64) (promql.Vector, error) {
	query, err := engine.NewInstantQuery(
		context.Background(), own, nil, expr, time.Unix(atS, 0))
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(context.Background())
	if result.Err != nil {
		return nil, result.Err
	}
	if scalar, ok := result.Value.(promql.Scalar); ok {
		return promql.Vector{{F: scalar.V}}, nil
	}
	found, err := result.Vector()
	return append(promql.Vector{}, found...), err
}

// run steps through the time of the series as Prometheus' rule manager does.
func run(engine *promql.Engine, own *memory, asked question, endS int64) answer {
	groups, problems := rulefmt.ParseFile(
		asked.Rules, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	told := answer{}
	for _, problem := range problems {
		told.Errors = append(told.Errors, problem.Error())
	}
	if groups == nil {
		return told
	}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			told.Alerts = append(told.Alerts, rule.Alert)
			active := map[string]int64{}
			var last promql.Vector
			for at := int64(0); at <= endS; at += asked.StepS {
				found, err := ask(engine, own, rule.Expr, at)
				if err != nil {
					told.Errors = append(told.Errors, rule.Alert+": "+err.Error())
					break
				}
				still := map[string]int64{}
				for _, one := range found {
					key := one.Metric.String()
					since, known := active[key]
					if !known {
						since = at
					}
					still[key] = since
				}
				active, last = still, found
			}
			for _, one := range last {
				since := active[one.Metric.String()]
				if endS-since >= int64(time.Duration(rule.For).Seconds()) {
					told.Firing = append(told.Firing, firing{rule.Alert, one.Metric.Map(), since})
				}
			}
		}
	}
	sort.Slice(told.Firing, func(i, j int) bool { return told.Firing[i].Alert < told.Firing[j].Alert })
	return told
}

func answered(asked question) (answer, error) {
	reader := parser.NewParser(parser.Options{})
	own, endS, err := load(asked, reader)
	if err != nil {
		return answer{}, err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: reader,
		EnableAtModifier: true, EnableNegativeOffset: true,
	})
	if asked.Rules != "" {
		return run(engine, own, asked, endS), nil
	}
	told := answer{}
	for _, expr := range asked.Queries {
		found, err := ask(engine, own, expr, asked.AtS)
		if err != nil {
			told.Errors = append(told.Errors, expr+": "+err.Error())
		}
		results := []sample{}
		for _, one := range found {
			results = append(results, sample{one.Metric.Map(), fmt.Sprint(one.F)})
		}
		told.Results = append(told.Results, results)
	}
	return told, nil
}

func main() {
	var asked []question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	told := []answer{}
	for _, one := range asked {
		found, err := answered(one)
		if err != nil {
			found.Errors = append(found.Errors, err.Error())
		}
		told = append(told, found)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
