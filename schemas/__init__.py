"""The contracts on the wire: Avro schemas, the catalog of topics, codecs."""
