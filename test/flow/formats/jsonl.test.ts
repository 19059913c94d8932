// What lives here: lines as the loggers of many languages, containers, journals and clouds write them, and what becomes of each.
// Invariant: lines are those of the loggers' own documentation, or were written by them; severities follow their documented tables.
// Apart from the grammar of JSON, which text.test.ts has.
import { describe, expect, test } from 'vitest';
import { jsonl } from '../../../src/flow/formats/jsonl.ts';
import { outcome, readAll, type Row } from './read.ts';

const at = (row: unknown): string => new Date(Number((row as Row).micros / 1000n)).toISOString();
const eight = '2026-11-21T08:00:00.000Z';

describe('a line of', () => {
  test.each<[string, string, Partial<Row>]>([
    ['pino', '{"level":40,"time":1795248000000,"pid":1,"hostname":"h","msg":"m"}', { severity: 'WARN' }],
    ['bunyan', '{"name":"app","hostname":"h","pid":1,"level":20,"msg":"m","time":"2026-11-21T08:00:00.000Z","v":0}', { severity: 'DEBUG', module: 'app' }],
    ['winston', '{"level":"silly","message":"m","timestamp":"2026-11-21T08:00:00.000Z"}', { severity: 'TRACE' }],
    ['zap', '{"level":"dpanic","ts":1795248000.0,"caller":"a/b.go:12","logger":"api","msg":"m"}', { severity: 'PANIC', module: 'api' }],
    ['logrus', '{"level":"warning","msg":"m","time":"2026-11-21T08:00:00Z"}', { severity: 'WARN' }],
    ['zerolog', '{"level":"info","time":1795248000,"message":"m"}', { severity: 'INFO' }],
    ['slog', '{"time":"2026-11-21T08:00:00.000000000Z","level":"ERROR+2","msg":"m"}', { severity: 'ERROR' }],
    ['ECS', '{"@timestamp":"2026-11-21T08:00:00.000Z","log.level":"WARN","message":"m","ecs.version":"1.2.0","log.logger":"a.B"}', { severity: 'WARN', module: 'a.B', attributes: { 'ecs.version': '1.2.0' } }],
    ['ECS, nested', '{"@timestamp":"2026-11-21T08:00:00.000Z","log":{"level":"warn","logger":"a.B","origin":{"file":{"line":1}}},"message":"m"}', { severity: 'WARN', module: 'a.B', attributes: { log: { origin: { file: { line: 1 } } } } }],
    ['log4j2 JsonLayout', '{"instant":{"epochSecond":1795248000,"nanoOfSecond":0},"thread":"main","level":"INFO","loggerName":"a.B","message":"m"}', { severity: 'INFO', module: 'a.B', attributes: { thread: 'main' } }],
    ['logstash-logback-encoder', '{"@timestamp":"2026-11-21T09:00:00.000+01:00","@version":"1","message":"m","logger_name":"a.B","thread_name":"main","level":"INFO","level_value":20000}', { severity: 'INFO', module: 'a.B' }],
    ['python-json-logger', '{"asctime":"2026-11-21 08:00:00,000","levelname":"CRITICAL","name":"root","message":"m"}', { severity: 'CRITICAL', module: 'root' }],
    ['python’s numbers', '{"created":1795248000.0,"levelno":30,"name":"root","message":"m","lineno":7}', { severity: 'WARN' }],
    ['python’s numbers as level', '{"time":1795248000,"level":30,"funcName":"f","lineno":7,"message":"m"}', { severity: 'WARN' }],
    ['structlog', '{"event":"m","level":"exception","logger":"x","timestamp":"2026-11-21T08:00:00Z"}', { severity: 'exception', module: 'x' }],
    ['loguru', '{"text":"whole","record":{"level":{"icon":"x","name":"SUCCESS","no":25},"message":"m","name":"app","time":{"repr":"2026-11-21 08:00:00.000000+00:00","timestamp":1795248000.0}}}', { severity: 'INFO', message: 'whole' }],
    ['serilog, compact', '{"@t":"2026-11-21T08:00:00.0000000Z","@mt":"m","@l":"Fatal"}', { severity: 'FATAL' }],
    ['serilog, compact, without a level', '{"@t":"2026-11-21T08:00:00.0000000Z","@m":"m","@i":"1"}', { severity: 'INFO' }],
    ['serilog', '{"Timestamp":"2026-11-21T08:00:00.0000000+00:00","Level":"Verbose","MessageTemplate":"x","RenderedMessage":"m","Properties":{"SourceContext":"A.B"}}', { severity: 'TRACE', module: 'A.B' }],
    ['hclog', '{"@level":"error","@message":"m","@module":"core.server","@timestamp":"2026-11-21T08:00:00.000000Z","n":1}', { severity: 'ERROR', module: 'core.server', attributes: { n: 1 } }],
    ['Postgres', '{"timestamp":"2026-11-21 09:00:00.000 CET","pid":1,"error_severity":"PANIC","state_code":"XX000","message":"m","backend_type":"checkpointer"}', { severity: 'PANIC' }],
    ['Postgres, a log of it', '{"timestamp":"2026-11-21 08:00:00.000 UTC","pid":1,"error_severity":"LOG","message":"m"}', { severity: 'INFO' }],
    ['MongoDB, a debug line', '{"t":{"$date":"2026-11-21T08:00:00.000+00:00"},"s":"D2","c":"NETWORK","id":2,"ctx":"conn1","msg":"m"}', { severity: 'DEBUG', module: 'NETWORK' }],
    ['tracing of Rust', '{"timestamp":"2026-11-21T08:00:00.000000Z","level":"ERROR","fields":{"message":"m","n":1},"target":"my::mod"}', { severity: 'ERROR', module: 'my::mod', attributes: { fields: { n: 1 } } }],
    ['an access log with a target that is no module', '{"timestamp":"2026-11-21T08:00:00Z","level":"info","msg":"m","target":"/a"}', { module: '-', attributes: { target: '/a' } }],
    ['a level that is an object', '{"ts":"2026-11-21T08:00:00Z","level":{"name":"error","value":40},"msg":"m"}', { severity: 'ERROR' }],
    ['Monolog of old', '{"message":"m","context":[],"level":400,"level_name":"ERROR","channel":"app","datetime":{"date":"2026-11-21 08:00:00.000000","timezone_type":3,"timezone":"UTC"},"extra":[]}', { severity: 'ERROR', module: 'app' }],
    ['Json.NET of old', '{"time":"/Date(1795248000000+0100)/","level":"Error","message":"m"}', { severity: 'ERROR' }],
    ['an export of Kibana', '{"@timestamp":"Nov 21, 2026 @ 08:00:00.000","level":"warn","message":"m"}', { severity: 'WARN' }],
    ['CRI, text in braces', '2026-11-21T08:00:00.000000000Z stderr F {m', { message: '{m', attributes: { stream: 'stderr' } }],
    ['CRI, the first part of a long object', '2026-11-21T08:00:00.000000000Z stdout P {"level":"error","msg":"lo', { severity: '-', message: '{"level":"error","msg":"lo', attributes: { stream: 'stdout', partial: 'P' } }],
    ['Datadog', '{"date":"2026-11-21T08:00:00Z","status":"error","message":"m","service":"s","ddsource":"java"}', { severity: 'ERROR', module: 's' }],
    ['NLog', '{"time":"2026-11-21 08:00:00.0000","level":"WARN","logger":"A.B","message":"m"}', { severity: 'WARN', module: 'A.B' }],
    ['.NET’s console', '{"Timestamp":"2026-11-21T08:00:00Z","EventId":0,"LogLevel":"Information","Category":"A.B","Message":"m"}', { severity: 'INFO', module: 'A.B' }],
    ['Monolog', '{"message":"m","context":{},"level":400,"level_name":"ERROR","channel":"app","datetime":"2026-11-21T08:00:00.000000+00:00","extra":{}}', { severity: 'ERROR', module: 'app' }],
    ['Docker', '{"log":"m\\n","stream":"stderr","time":"2026-11-21T08:00:00.000000000Z"}', { severity: '-', attributes: { stream: 'stderr' } }],
    ['Docker, around JSON', '{"log":"{\\"level\\":\\"error\\",\\"msg\\":\\"x\\"}\\n","stream":"stdout","time":"2026-11-21T08:00:00Z"}', { severity: 'ERROR', message: '{"level":"error","msg":"x"}' }],
    ['containerd, around JSON', '2026-11-21T08:00:00.000000000Z stdout F {"level":"error","msg":"m"}', { severity: 'ERROR', attributes: { stream: 'stdout' } }],
    ['containerd, around text', '2026-11-21T08:00:00.000000000Z stderr P m', { severity: '-', attributes: { stream: 'stderr', partial: 'P' } }],
    ['Google Cloud', '{"timestamp":"2026-11-21T08:00:00Z","severity":"NOTICE","jsonPayload":{"message":"m","a":1},"logName":"l"}', { severity: 'NOTICE', module: 'l', attributes: { jsonPayload: { a: 1 } } }],
    ['Google Cloud, as text', '{"timestamp":"2026-11-21T08:00:00Z","severity":"DEFAULT","textPayload":"m"}', { severity: 'DEFAULT' }],
    ['Google’s agent', '{"timestampSeconds":1795248000,"timestampNanos":5,"severity":"INFO","message":"m"}', { severity: 'INFO' }],
    ['AWS Lambda', '{"timestamp":"2026-11-21T08:00:00.000Z","level":"INFO","requestId":"x","message":"m"}', { severity: 'INFO' }],
    ['Caddy', '{"level":"info","ts":1795248000.0,"logger":"http.log.access","msg":"m","status":200}', { severity: 'INFO', module: 'http.log.access' }],
    ['journald', '{"__REALTIME_TIMESTAMP":"1795248000000000","PRIORITY":"3","SYSLOG_IDENTIFIER":"sshd","MESSAGE":"m","_PID":"1"}', { severity: 'ERROR', module: 'sshd' }],
    ['journald, bytes', '{"__REALTIME_TIMESTAMP":"1795248000000000","PRIORITY":"6","MESSAGE":[109]}', { severity: 'INFO' }],
    ['GELF', '{"version":"1.1","host":"h","short_message":"m","timestamp":1795248000.0,"level":4,"_a":1}', { severity: 'WARN' }],
    ['OpenTelemetry', '{"timeUnixNano":"1795248000000000000","severityNumber":17,"body":{"stringValue":"m"}}', { severity: 'ERROR' }],
    ['OpenTelemetry, flat', '{"timestamp":"2026-11-21T08:00:00Z","severityText":"WARN","severityNumber":13,"body":"m"}', { severity: 'WARN' }],
    ['MongoDB', '{"t":{"$date":"2026-11-21T08:00:00.000+00:00"},"s":"W","c":"NETWORK","id":1,"ctx":"c1","msg":"m"}', { severity: 'WARN', module: 'NETWORK' }],
    ['a logger with @fields', '{"@timestamp":"2026-11-21T08:00:00Z","@fields":{"lvl":"TRACE","msg":"m"}}', { severity: 'TRACE', attributes: null }],
    ['a logger with an empty name', '{"time":"2026-11-21T08:00:00Z","level":"info","logger":"","msg":"m"}', { module: '-' }],
    ['a logger with a time beside a duration', '{"time":0.012,"ts":1795248000,"level":"info","msg":"m"}', { attributes: { time: 0.012 } }],
  ])('%s', (_, line, expected) => {
    const row = outcome(jsonl, line);
    expect(row).toMatchObject({ message: 'm', ...expected });
    expect(at(row)).toBe(eight);
  }); // prettier-ignore
});

test.each([
  ['{"date":"2026-11-20","time":"10:00:00","msg":"m"}', '2026-11-20T10:00:00.000Z'],
  ['{"time":"10:00:00.5","msg":"m","date":"2026/11/20"}', '2026-11-20T10:00:00.500Z'],
  ['{"Date":"Nov 20, 2026","Time":"10:00:00","msg":"m"}', '2026-11-20T10:00:00.000Z'],
  ['{"time":"10:00","date":"2026-11-20T08:00:00Z","msg":"m"}', '2026-11-20T08:00:00.000Z'],
])('a time of the day is on the day that the record states: %s', (line, time) => {
  const row = outcome(jsonl, line) as Row;
  expect([at(row), row.attributes]).toEqual([time, line.includes('T08') ? { time: '10:00' } : null]);
});
test('a time of the day beside a day that cannot be read is on no day', () =>
  expect(outcome(jsonl, '{"date":"03/04/2026","time":"10:00:00","msg":"m"}')).toEqual(['timestamp_ambiguous']));

const levelOf = (level: unknown, more = {}): unknown => {
  const { rows, chunks } = readAll(jsonl, JSON.stringify({ time: eight, level, ...more }));
  return [rows[0]?.severity, Object.keys(chunks[0]?.notes ?? {}).filter((note) => note.startsWith('severity'))];
};

describe('a level', () => {
  test.each([
    ['info', 'INFO'], ['WARN', 'WARN'], ['Information', 'INFO'], ['Verbose', 'TRACE'], ['http', 'DEBUG'], ['silly', 'TRACE'], ['dpanic', 'PANIC'],
    ['err', 'ERROR'], ['crit', 'CRITICAL'], ['alert', 'ALERT'], ['emerg', 'EMERGENCY'], ['EMERGENCY', 'EMERGENCY'], ['Fatal', 'FATAL'], ['I', 'INFO'],
    ['W', 'WARN'], ['SEVERE', 'ERROR'], ['FINE', 'DEBUG'], ['FINEST', 'TRACE'], ['log', 'INFO'], [' warn ', 'WARN'], ['DEBUG-4', 'DEBUG'], [20_000, 'INFO'], [40_000, 'ERROR'],
  ])('%s is %s', (level, word) => expect(levelOf(level)).toEqual([word, []])); // prettier-ignore
  test.each([[35], [3], [6], ['DEFAULT'], ['LOUD'], [300], ['exception']])(
    '%s means no one thing: kept as it is written and counted',
    (level) => expect(levelOf(level, { message: 'm' })).toEqual([String(level), ['severity_unmapped']]),
  );
  test('that is missing is none, and counted', () =>
    expect(levelOf(undefined, { message: 'm' })).toEqual(['-', ['severity_none']]));
  test('of 30 is pino’s or Python’s by what stands beside it, and neither where nothing does', () => {
    expect(levelOf(30, { msg: 'm' })).toEqual(['INFO', []]);
    expect(levelOf(30, { lineno: 3 })).toEqual(['WARN', []]);
    expect(levelOf(30, { message: 'm' })).toEqual(['30', ['severity_unmapped']]);
  });
});

test('a record without any message is loaded, and counted', () => {
  const { rows, chunks } = readAll(
    jsonl,
    `{"time":"${eight}","level":"info","a":1}\n{"time":"${eight}","level":"info","msg":""}`,
  );
  expect(rows.map(({ message }) => message)).toEqual(['', '']);
  expect(chunks[0]!.notes).toEqual({ message_none: 1 });
});
