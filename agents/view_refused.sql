-- Where the records of source topics are that the worker refused. Views of documents leave them out.
--
-- refused_topic_id: Topic of the record: its number in the catalog.
-- refused_partition: Partition of the record in Kafka.
-- refused_offset: Offset of the record in its partition.

CREATE OR REPLACE VIEW v_refused AS
SELECT refused_topic_id, refused_partition, refused_offset
FROM dead_letters
WHERE is_decoded;
