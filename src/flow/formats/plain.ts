// What lives here: the plain log line, `2026-11-21T08:00:00.000Z INFO [module] message`.
// Invariant: three severities and no more; a module has at least one character; every line is a record.
// Apart because each line format is one file.
import type { GrammarFormat } from '../parse/format.ts';

export const plain: GrammarFormat = {
  kind: 'grammar',
  name: 'plain',
  says: 'timestamp, severity, [module], message: one record a line',
  line: [{ time: 'iso' }, ' ', { severity: true }, ' [', { text: 'module', lengthMin: 1 }, '] ', { rest: 'message' }],
  severities: ['INFO', 'WARN', 'ERROR'],
};
