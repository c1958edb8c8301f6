// Judges an AsyncAPI document by the official parser and its Avro plug-in: prints what they find,
// and fails if any of it is graver than an information.
import { readFile } from 'node:fs/promises';
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser';
import { Parser } from '@asyncapi/parser';

const avro = AvroSchemaParser();
const wrong = [];
const parser = new Parser();
parser.registerSchemaParser({
  ...avro,
  // Of a document of version 3 the parser only converts the schemas; here they are validated too.
  async parse(input) {
    wrong.push(...((await avro.validate(input)) ?? []));
    return avro.parse(input);
  },
});
const { document, diagnostics } = await parser.parse(await readFile(process.argv[2], 'utf8'));
const findings = [...diagnostics, ...wrong.map((found) => ({ severity: 0, ...found }))];
for (const { severity, path, message } of findings) {
  console.log(`${['error', 'warning', 'info', 'hint'][severity]} ${path?.join('.')}: ${message}`);
}
if (document) {
  console.log(`${document.channels().length} channels, ${document.messages().length} messages`);
}
process.exitCode = document && findings.every(({ severity }) => severity > 1) ? 0 : 1;
