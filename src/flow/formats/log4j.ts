// What lives here: log4j's layout as Kafka writes it, `[2016-12-19 18:01:53,612] INFO message (module)`.
// Invariant: a line that does not begin with a bracketed date continues the record before it: stack traces stay with their cause.
// Apart because each line format is one file.
import type { GrammarFormat } from '../parse/format.ts';

export const log4j: GrammarFormat = {
  kind: 'grammar',
  name: 'log4j',
  says: '[timestamp] severity message (module), with stack traces and other continuation lines',
  head: '[0000-00-00 ',
  line: [
    '[',
    { time: 'iso' },
    '] ',
    { severity: true },
    ' ',
    { rest: 'message', last: { text: 'module', open: ' (', close: ')' } },
  ],
  severities: ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'],
};
