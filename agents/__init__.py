"""The running system: Faust, Kafka, ClickHouse, command line. The only impure package."""
