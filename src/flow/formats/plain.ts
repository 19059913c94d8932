// What lives here: the plain log line, `2026-11-21T08:00:00.000Z INFO [module] message`, with the severities of all loggers and the traces of errors.
// Invariant: a module has at least one character; a line is a record, unless it continues the trace of the one before it.
// Apart because each line format is one file.
import type { GrammarFormat } from '../parse/format.ts';
import { severitySpellings } from './severities.ts';

/** The usual three first: the reader looks for them in this order. */
const usual = ['INFO', 'WARN', 'ERROR'];
const stored = Object.fromEntries(severitySpellings());

export const plain: GrammarFormat = {
  kind: 'grammar',
  name: 'plain',
  says: 'timestamp, severity, [module], message: one record a line, traces of errors with theirs',
  heads: ['0000-00-00'],
  continued: 'trace',
  line: [{ time: 'iso' }, ' ', { severity: true }, ' [', { text: 'module', lengthMin: 1 }, '] ', { rest: 'message' }],
  severities: [...usual, ...Object.keys(stored).filter((word) => !usual.includes(word))],
  stored,
};

/** The same with three severities, no more, and every line a record. */
export const strict: GrammarFormat = {
  kind: 'grammar',
  name: 'plain-strict',
  says: 'timestamp, severity (INFO, WARN or ERROR and no other), [module], message: every line is a record',
  line: plain.line,
  severities: usual,
};
