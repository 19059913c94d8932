// What lives here: the severity of a JSON record: a word of some language, or a number whose meaning the rest of the record tells.
// Invariant: a number that two loggers use for two severities is mapped only if the record says which of them wrote it.
// Apart because it is where loggers disagree most.
import type { JsonlFormat } from '../parse/format.ts';
import { type Fields, fieldsOf } from './json-fields.ts';
import { JsonUnfit, membersOf } from './json-text.ts';
import { type NumberFamily, severityOfNumber, severityOfWord } from './severities.ts';
import type { Note } from '../parse/tuple.ts';

interface Severity {
  readonly word: string;
  readonly note?: Note;
}

/** Names whose numbers have one meaning. */
const familyOfName: Readonly<Record<string, NumberFamily>> = {
  PRIORITY: 'syslog',
  syslog_severity: 'syslog',
  'log.syslog.severity.code': 'syslog',
  severityNumber: 'otel',
  severity_number: 'otel',
  SeverityNumber: 'otel',
  levelno: 'python',
  level_value: 'log4j',
  severityLevel: 'azure',
};

/** Fields that only one family writes, for numbers under a name that many use. */
const witnesses: readonly (readonly [NumberFamily, readonly string[]])[] = [
  ['monolog', ['level_name', 'channel']],
  ['syslog', ['short_message', 'SYSLOG_IDENTIFIER', '_TRANSPORT']],
  ['python', ['levelname', 'funcName', 'lineno', 'pathname', 'threadName', 'processName', 'taskName', 'exc_info']],
  ['otel', ['timeUnixNano', 'observedTimeUnixNano']],
  ['pino', ['pid', 'hostname', 'v', 'msg']],
];

function numberOf(text: string, name: string, fields: Fields): string | undefined {
  const named = familyOfName[name];
  if (named !== undefined) return severityOfNumber(text, named);
  // Tens of thousands are those of log4j alone.
  if (/^\d{4,5}$/.test(text)) return severityOfNumber(text, 'log4j');
  for (const [family, names] of witnesses) {
    if (!names.some((each) => fields.has(each))) continue;
    const word = severityOfNumber(text, family);
    if (word !== undefined) return word;
  }
  return undefined;
}

/** A container's line may be the JSON of the program in it: then that states the severity. */
function ofInner(fields: Fields, format: JsonlFormat): Severity | undefined {
  const text = fields.find('log')?.text;
  if (text?.startsWith('{') !== true || !fields.has('stream')) return undefined;
  try {
    return stated(fieldsOf(membersOf(text)), format);
  } catch (error) {
    if (error instanceof JsonUnfit) return undefined;
    throw error;
  }
}

/** MongoDB's name is one letter, which is many other things; and `priority` is a task's as often as a record's, so only its words count. */
const counts = (name: string, fields: Fields): boolean => {
  if (name === 's') return fields.has('t') && fields.has('ctx');
  // Datadog's name; everywhere else it is how a request was answered.
  return name !== 'status' || fields.has('ddsource') || fields.has('ddtags');
};

/** The severity that the fields state: the first that is known, else the first as it is written. */
function stated(fields: Fields, format: JsonlFormat): Severity | undefined {
  let unmapped: string | undefined;
  for (const name of format.fields.severity) {
    const found = fields.find(name);
    if (found === undefined || found.text.trim() === '' || !counts(name, fields)) continue;
    const word = /^-?\d+$/.test(found.text) ? numberOf(found.text, name, fields) : severityOfWord(found.text);
    if (word !== undefined) {
      fields.take(name);
      return { word };
    }
    if (name !== 'priority') unmapped ??= name;
  }
  if (unmapped === undefined) return undefined;
  return { word: fields.take(unmapped)!.text, note: 'severity_unmapped' };
}

export function severityIn(fields: Fields, format: JsonlFormat): Severity {
  const severity = stated(fields, format) ?? ofInner(fields, format);
  if (severity !== undefined) return severity;
  // Serilog's compact form leaves out its usual level, and says so in its documentation.
  if (fields.has('@t') && (fields.has('@mt') || fields.has('@m'))) return { word: 'INFO' };
  return { word: format.severityDefault, note: 'severity_none' };
}
