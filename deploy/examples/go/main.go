// Command subscriber prints live warnings as they come: subscriber HOST:PORT REGISTRY [TOPIC]
//
// REGISTRY is the base of a schema registry's Confluent API. A group of its own gives each program
// every warning once; after a restart it goes on where it was. Read CloudEvents' identity, the
// headers ce_id and ce_source, to do things once for each warning.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: subscriber HOST:PORT REGISTRY [TOPIC]")
	}
	topic := "warnings"
	if len(os.Args) > 3 {
		topic = os.Args[3]
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Args[1]),
		kgo.ConsumerGroup("go-warning-printer"),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Without it, warnings of failed transactions show too.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	schemas := registry{base: os.Args[2], known: map[uint32]avro.Schema{}}
	for {
		fetches := client.PollFetches(context.Background())
		if errs := fetches.Errors(); len(errs) > 0 {
			log.Fatal(errs)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			warning, err := schemas.read(record.Value)
			if err != nil {
				log.Fatal(err)
			}
			tell(warning)
		})
	}
}

// registry remembers the schemas of ids, which never change.
type registry struct {
	base  string
	known map[uint32]avro.Schema
}

// read takes a value: a zero byte, four bytes of schema id, then Avro written by that schema.
func (r registry) read(value []byte) (map[string]any, error) {
	if len(value) < 5 || value[0] != 0 {
		return nil, fmt.Errorf("not in Confluent framing")
	}
	schema, err := r.schema(binary.BigEndian.Uint32(value[1:5]))
	if err != nil {
		return nil, err
	}
	warning := map[string]any{}
	return warning, avro.Unmarshal(schema, value[5:], &warning)
}

func (r registry) schema(id uint32) (avro.Schema, error) {
	if schema, ok := r.known[id]; ok {
		return schema, nil
	}
	answer, err := http.Get(fmt.Sprintf("%s/schemas/ids/%d", r.base, id))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var found struct{ Schema string }
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return nil, err
	}
	schema, err := avro.Parse(found.Schema)
	if err == nil {
		r.known[id] = schema
	}
	return schema, err
}

func tell(warning map[string]any) {
	// What the loading of history found concerns nobody; what is muted, nobody now.
	if warning["phase"] != "LIVE" || warning["muted_by"] != nil {
		return
	}
	asOf, _ := warning["as_of"].(time.Time)
	fmt.Printf("%s %s %s\n  %s\n", asOf.Format(time.DateOnly), warning["severity"],
		warning["text_en"], warning["action_en"])
}
