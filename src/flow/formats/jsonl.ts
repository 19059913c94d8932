// What lives here: JSON lines: one object a line, as pino, zap, logback and most others write them.
// Invariant: what is not taken for a column stays, digit for digit, in the attributes.
// Apart because each line format is one file.
import { daysFrom2000 } from '../parse/time.ts';
import type { JsonlFormat } from '../parse/format.ts';
import { badTime, type Instant, instantReader, rowOrViolations, type TextReader } from './text-row.ts';
import { JsonUnfit, membersOf, objectOf } from './json-text.ts';
import type { Violation } from '../types.ts';

export const jsonl: JsonlFormat = {
  kind: 'jsonl',
  name: 'jsonl',
  says: 'JSON lines: one object a line',
  fields: {
    time: ['@timestamp', 'timestamp', 'time', 'ts', 'datetime'],
    severity: ['severity', 'level', 'lvl', 'log.level'],
    module: ['module', 'logger', 'name', 'service', 'component', 'log.logger'],
    message: ['message', 'msg', 'event'],
  },
  severities: ['TRACE', 'DEBUG', 'INFO', 'NOTICE', 'WARN', 'WARNING', 'ERROR', 'CRITICAL', 'FATAL', 'PANIC'],
  severityDefault: 'INFO',
  moduleDefault: '-',
};

/** Numbers that pino and bunyan write for severities. */
const numbered = new Map([
  ['10', 'TRACE'],
  ['20', 'DEBUG'],
  ['30', 'INFO'],
  ['40', 'WARN'],
  ['50', 'ERROR'],
  ['60', 'FATAL'],
]);

const EPOCH_SECONDS = -daysFrom2000(1970, 1, 1) * 86_400;

/** Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size: good for the years 1973 to 5138. */
function instantOfNumber(text: string): Instant | Violation {
  const [, whole, fraction = ''] = /^(\d{1,19})(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return badTime(text);
  const places = whole.length <= 11 ? 0 : whole.length <= 14 ? 3 : whole.length <= 17 ? 6 : 9;
  const digits = `${whole}${places === 0 ? fraction : ''}`;
  const point = whole.length - places;
  return {
    seconds: Number(digits.slice(0, point)) - EPOCH_SECONDS,
    micros: Number(digits.slice(point).padEnd(6, '0').slice(0, 6)),
  };
}

/** Makes the reader of a declaration. */
export function jsonlReader(format: JsonlFormat): TextReader {
  const instant = instantReader('iso', format.zone ?? 'Z');
  return (text) => {
    let members: Map<string, string>;
    try {
      members = membersOf(text);
    } catch (error) {
      if (error instanceof JsonUnfit) return [{ field: 'line', code: error.code, message: error.message }];
      throw error;
    }
    /** Takes the first of these that is a text or a number, as text. */
    const take = (names: readonly string[]): { text: string; number: boolean } | undefined => {
      const name = names.find((each) => /^["\d-]/.test(members.get(each) ?? ''));
      if (name === undefined) return undefined;
      const json = members.get(name)!;
      members.delete(name);
      return json.startsWith('"') ? { text: JSON.parse(json) as string, number: false } : { text: json, number: true };
    };
    const time = take(format.fields.time);
    const severity = take(format.fields.severity);
    const module = take(format.fields.module);
    const message = take(format.fields.message);
    const parts = {
      time: time === undefined ? badTime('') : time.number ? instantOfNumber(time.text) : instant(time.text),
      severity:
        severity === undefined ? format.severityDefault : (numbered.get(severity.text) ?? severity.text.toUpperCase()),
      module: module?.text ?? format.moduleDefault,
      message: message?.text ?? '',
      attributes: members.size === 0 ? undefined : objectOf(members),
    };
    return rowOrViolations(parts, format.severities);
  };
}
