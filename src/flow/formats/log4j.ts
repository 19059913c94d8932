// What lives here: log4j's layout as Kafka writes it, `[2016-12-19 18:01:53,612] INFO message (module)`; the other usual layouts are in logging.ts.
// Invariant: a line that does not begin as a record does continues the record before it: stack traces stay with their cause.
// Apart because each line format is one file.
import type { GrammarFormat } from '../parse/format.ts';
import { javaSeverities } from './logging-others.ts';

const dates = [
  '0000-00-00 00',
  '0000-00-00T00',
  '0000/00/00 00',
  '00:00:00',
  '00 aaa 0000 00',
  '00-aaa-0000 00',
  '00/00/00 00:',
  '00/00/0000 00:',
  '00000000T000000',
  '00000000000000000 ',
  '0000000000 [',
  '0000000000000 [',
];
/** Ruby's Logger and klog, whose letters are severities. */
const letterFirst = ['a, [0000-00-00T', ...['I', 'W', 'E', 'F'].map((letter) => `${letter}0000 00:00:00.`)];
/** Level first, as Dropwizard and others write it: in brackets or not, filled up to five letters or not. */
const levelFirst = javaSeverities.flatMap((level) =>
  [...new Set([level, level.padEnd(5)])].flatMap((word) => [
    `${word} 0000-00-00`,
    `${word} [0000-00-00`,
    `${word} [a`,
    `[${word}] 0000-00-00`,
    `[${word}] [0000-00-00`,
  ]),
);

export const log4j: GrammarFormat = {
  kind: 'grammar',
  name: 'log4j',
  says: 'the usual layouts of log4j, logback and Spring Boot, and of the loggers of Python, .NET, Go, PHP and Ruby, with stack traces and other continuation lines',
  heads: ['[0000-00-00', ...dates, '[00:00:00', 'aaa 0, 0000 0', 'aaa 00, 0000 0', ...letterFirst, ...levelFirst],
  line: [
    '[',
    { time: 'iso' },
    '] ',
    { severity: true },
    ' ',
    { rest: 'message', last: { text: 'module', open: ' (', close: ')' } },
  ],
  severities: ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'],
  variants: 'logging',
};
