// What lives here: JSON lines: one object a line, as the loggers of all languages, containers, journals and clouds write them.
// Invariant: what is not taken for a column stays, digit for digit, in the attributes; what a record says is never replaced by a fallback.
// Apart because each line format is one file.
import { zoneSeconds } from '../parse/time.ts';
import type { JsonlFormat } from '../parse/format.ts';
import type { Instant } from '../parse/moment.ts';
import type { Note } from '../parse/tuple.ts';
import type { Violation } from '../types.ts';
import { type Fields, fieldsOf, type Scalar } from './json-fields.ts';
import { severityIn } from './json-severity.ts';
import { JsonUnfit, membersOf } from './json-text.ts';
import { SEVERITY_NONE } from './severities.ts';
import { instantReader, rowOrViolations, type TextReader } from './text-row.ts';

/** Objects in which some keep what others have at the top; names within them count after all others. */
const containers = [
  '@fields',
  'fields',
  'jsonPayload',
  'log',
  'record',
  'data',
  'meta',
  'metadata',
  'context',
  'extra',
];
const names = (own: string, within: string): string[] => [
  ...own.split(' '),
  ...containers.flatMap((container) => within.split(' ').map((name) => `${container}.${name}`)),
];

export const jsonl: JsonlFormat = {
  kind: 'jsonl',
  name: 'jsonl',
  says: 'JSON lines: one object a line, by the field names of the usual loggers, containers and clouds',
  fields: {
    time: names(
      '@timestamp timestamp time ts datetime @t eventTime Timestamp timeStamp timestamp_ns __REALTIME_TIMESTAMP _SOURCE_REALTIME_TIMESTAMP timeUnixNano ' +
        'observedTimeUnixNano ObservedTimestamp asctime t.$date t date Date Time TimeGenerated timeMillis start_time time_iso8601 time_local StartUTC ' +
        'requestReceivedTimestamp created_at created record.time.timestamp record.time.repr event.created utc_time logged_at log_time msec',
      '@timestamp timestamp time ts',
    ),
    message: names(
      'message msg MESSAGE event short_message @message @m RenderedMessage Message textPayload body.stringValue body log @mt MessageTemplate Body text',
      'message msg',
    ),
    severity: names(
      'severity level lvl log.level @level error_severity levelname level_name severityText severity_text SeverityText @l Level log_level loglevel logLevel LogLevel Severity ' +
        'log.syslog.severity.name record.level.name s syslog.severity.name levelno severityNumber severity_number SeverityNumber ' +
        'PRIORITY priority log.syslog.severity.code syslog_severity level_value severityLevel level.name level.levelStr status',
      'severity level lvl levelname log_level',
    ),
    module: names(
      'module @module logger name service component log.logger loggerName logger_name LoggerName Logger SourceContext Properties.SourceContext channel ' +
        'SYSLOG_IDENTIFIER _COMM _SYSTEMD_UNIT service.name logName c app program container_name kubernetes.container_name Category target',
      'logger logger_name loggerName name',
    ),
  },
  severities: [],
  severityDefault: SEVERITY_NONE,
  moduleDefault: '-',
};

/** How the runtime of Kubernetes wraps each line that a container wrote: time, stream, whether the line is whole, and what was written. */
const wrapped = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP])(?::[^ ]*)? (.*)$/s;

/** Makes the reader of a declaration for a data date, given as days from 2000-01-01. */
export function jsonlReader(format: JsonlFormat, dataDay: number): TextReader {
  const zone = format.zone ?? 'Z';
  const instant = instantReader({ east: zoneSeconds(zone), dataDay }, zone);
  /** The first field that can be read as a time: `time` may be a duration where `ts` is the time. What is wrong with the first is told if none can. */
  const timeIn = (fields: Fields): Instant | Violation => {
    let first: Violation | undefined;
    for (const name of format.fields.time) {
      const found = fields.find(name);
      if (found === undefined) continue;
      const stated = onStatedDay(name, fields, instant);
      if (stated !== undefined && 'seconds' in stated) return stated;
      const time = stated ?? instant(found.text);
      if ('seconds' in time) {
        fields.take(name);
        return time;
      }
      first ??= time;
    }
    return epochPair(fields, instant) ?? first ?? phpTime(fields, instant) ?? instant('');
  };
  return (line) => {
    const outer = wrapped.exec(line);
    let fields: Fields;
    try {
      fields = outer === null ? fieldsOf(membersOf(line)) : unwrapped(outer);
    } catch (error) {
      if (error instanceof JsonUnfit) return [{ field: 'line', code: error.code, message: error.message }];
      throw error;
    }
    // Asked before the severity is taken: it tells whose record this is.
    const modules = format.fields.module.filter((name) => namesModule(name, fields));
    const severity = severityIn(fields, format);
    const time = timeIn(fields);
    const module = first(fields, modules);
    const message = first(fields, format.fields.message) ?? bytesAsText(fields, 'MESSAGE');
    const parts = {
      time,
      severity: severity.word,
      module: module?.text || format.moduleDefault,
      // Docker and Kubernetes keep the line end that the program wrote.
      message: message === undefined ? '' : message.text.replace(/\r?\n$/, ''),
      attributes: fields.rest(),
    };
    const notes: Note[] = severity.note === undefined ? [] : [severity.note];
    if (message === undefined) notes.push('message_none');
    return rowOrViolations(parts, undefined, notes);
  };
}

/** A time of the day alone is on the day that the record states beside it; only where it states none does the data date tell. */
function onStatedDay(
  name: string,
  fields: Fields,
  instant: (text: string) => Instant | Violation,
): Instant | Violation | undefined {
  const clock = fields.find(name)!.text;
  if (!/^\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?$/.test(clock)) return undefined;
  const beside = ['date', 'Date', 'DATE', 'day', 'log_date'].find((each) => fields.find(each) !== undefined);
  if (beside === undefined) return undefined;
  const day = fields.find(beside)!.text;
  const joined = instant(`${day} ${clock}`);
  const whole = 'seconds' in joined ? joined : instant(day);
  if (!('seconds' in whole)) return joined;
  if (whole === joined) fields.take(name);
  fields.take(beside);
  return whole;
}

/** Names that only some loggers give to a module, and others to anything: .NET's console, and tracing of Rust with its path. */
function namesModule(name: string, fields: Fields): boolean {
  if (name === 'Category') return fields.has('LogLevel');
  if (name !== 'target') return true;
  return fields.has('level') && /^[A-Za-z_]\w*(?:::\w+)*$/.test(fields.find(name)?.text ?? '');
}

/** Takes the first of these that is a text or a number; an empty one only if there is no other. */
function first(fields: Fields, names: readonly string[]): Scalar | undefined {
  const there = names.filter((each) => fields.find(each) !== undefined);
  const name = there.find((each) => fields.find(each)!.text !== '') ?? there[0];
  return name === undefined ? undefined : fields.take(name);
}

/** The object that a container wrote, or the text as its message; where the object states no time, that of the runtime counts. */
function unwrapped([, time, stream, whole, text]: RegExpExecArray): Fields {
  const members = objectIn(text!) ?? new Map([['log', JSON.stringify(text)]]);
  const add = (name: string, value: string): void => {
    if (!members.has(name)) members.set(name, JSON.stringify(value));
  };
  add('stream', stream!);
  if (whole === 'P') add('partial', 'P');
  add(members.has('time') ? 'logged_at' : 'time', time!);
  return fieldsOf(members);
}

/** What a container wrote may be any text: one that begins as an object and is none is a message, as is a part of a long one. */
function objectIn(text: string): Map<string, string> | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return membersOf(text);
  } catch (error) {
    if (error instanceof JsonUnfit && error.code === 'json_invalid') return undefined;
    throw error;
  }
}

/** Seconds and nanoseconds apart, as log4j2 and Google's clients write them. */
function epochPair(fields: Fields, instant: (text: string) => Instant | Violation): Instant | undefined {
  for (const [seconds, nanos] of [
    ['instant.epochSecond', 'instant.nanoOfSecond'],
    ['timestamp.seconds', 'timestamp.nanos'],
    ['timestampSeconds', 'timestampNanos'],
    ['time.seconds', 'time.nanos'],
  ] as const) {
    const whole = fields.find(seconds);
    if (whole === undefined) continue;
    const part = fields.find(nanos)?.text ?? '0';
    const time = /^\d{1,9}$/.test(part) ? instant(`${whole.text}.${part.padStart(9, '0')}`) : undefined;
    if (time === undefined || !('seconds' in time)) continue;
    fields.take(seconds);
    fields.take(nanos);
    return time;
  }
  return undefined;
}

/** PHP's own form of a time, as Monolog wrote it once: `{"date": "2026-11-21 08:00:00.000000", "timezone_type": 3, "timezone": "UTC"}`. */
function phpTime(fields: Fields, instant: (text: string) => Instant | Violation): Instant | Violation | undefined {
  const [date, zone] = [fields.find('datetime.date'), fields.find('datetime.timezone')];
  if (date === undefined || zone === undefined) return undefined;
  const time = instant(`${date.text} ${zone.text}`);
  if ('seconds' in time) for (const name of ['date', 'timezone', 'timezone_type']) fields.take(`datetime.${name}`);
  return time;
}

/** journald writes a message that is no UTF-8 as a list of its bytes. */
function bytesAsText(fields: Fields, name: string): Scalar | undefined {
  const list = fields.raw(name);
  if (list === undefined || !/^\[(?:\d{1,3}(?:, )?)+\]$/.test(list)) return undefined;
  const bytes = Buffer.from(JSON.parse(list) as number[]);
  return { text: bytes.toString('utf8').replaceAll('\0', '\ufffd'), number: false };
}
