// Prints live warnings as they come: node subscriber.mjs HOST:PORT REGISTRY [TOPIC]
//
// REGISTRY is the base of a schema registry's Confluent API. A group of its own gives each program
// every warning once; after a restart it goes on where it was. Read CloudEvents' identity, the
// headers ce_id and ce_source, to do things once for each warning.
import avro from "avsc";
import { Kafka, logLevel } from "kafkajs";

const [brokers, registry, topic = "warnings"] = process.argv.slice(2);
const types = new Map(); // by schema id, which never changes

class EpochDay extends avro.types.LogicalType {
  _fromValue(days) {
    return new Date(days * 86_400_000);
  }
}

async function typeOf(id) {
  if (!types.has(id)) {
    const answer = await fetch(`${registry}/schemas/ids/${id}`);
    const schema = JSON.parse((await answer.json()).schema);
    types.set(id, avro.Type.forSchema(schema, { logicalTypes: { date: EpochDay } }));
  }
  return types.get(id);
}

/** Reads a value: a zero byte, four bytes of schema id, then Avro written by that schema. */
async function read(value) {
  if (value.length < 5 || value[0] !== 0) throw new Error("not in Confluent framing");
  const type = await typeOf(value.readUInt32BE(1));
  return type.fromBuffer(value.subarray(5));
}

const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR });
// KafkaJS hides what failed transactions wrote unless `readUncommitted: true` asks for it.
const consumer = kafka.consumer({ groupId: "node-warning-printer", readUncommitted: false });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    const warning = await read(message.value);
    // What the loading of history found concerns nobody; what is muted, nobody now.
    if (warning.phase !== "LIVE" || warning.muted_by !== null) return;
    const asOf = warning.as_of.toISOString().slice(0, 10);
    console.log(`${asOf} ${warning.severity} ${warning.text_en}\n  ${warning.action_en}`);
  },
});
