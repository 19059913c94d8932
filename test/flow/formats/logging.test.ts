// What lives here: lines in the layouts that log4j, logback, Spring Boot and others are used with, and what becomes of each.
// Invariant: layouts are those of the frameworks' documentation and of products that use them; a trace stays with its line.
// Apart from Kafka's layout, which log4j.test.ts has.
import { describe, expect, test } from 'vitest';
import { log4j } from '../../../src/flow/formats/log4j.ts';
import { dayOfDataDate } from '../../../src/flow/parse/time.ts';
import { readAll, type Row } from './read.ts';

const constants = { sourceId: '1', dataDay: dayOfDataDate('2026-11-21')!, generation: 1 };
const trace =
  'java.lang.IllegalStateException: no\n\tat demo.Thing.run(Thing.java:1)\n\n\tSuppressed: x\nCaused by: java.io.IOException: disk (full)\n\t... 3 more';
const at = ({ micros }: Row): string => new Date(Number(micros / 1000n)).toISOString();

describe.each<[string, string, Partial<Row>]>([
  ['%d %-5p [%t] %c: %m', '2026-11-21 08:00:00,123 ERROR [main] a.b.C: m', { severity: 'ERROR', module: 'a.b.C', attributes: { thread: 'main' } }],
  ['%d [%t] %-5p %c{1} - %m', '2026-11-21 08:00:00,123 [main] INFO  C - m', { module: 'C', attributes: { thread: 'main' } }],
  ['%d %-5p %c{1}:%L - %m', '2026-11-21 08:00:00,123 WARN  C:42 - m', { severity: 'WARN', module: 'C', attributes: { where: '42' } }],
  ['%d{DATE} %-5p [%t] %c - %m', '21 Nov 2026 08:00:00,123 INFO  [main] a.b.C - m', { module: 'a.b.C' }],
  ['%d{ABSOLUTE} %-5p [%c{1}] (%t) %m', '08:00:00,123 INFO  [a.b.C] (main) m', { module: 'a.b.C', attributes: { thread: 'main' } }],
  ['logback and log4j2 by default', '08:00:00.123 [main] DEBUG a.b.C - m', { severity: 'DEBUG', module: 'a.b.C', attributes: { thread: 'main' } }],
  ['logback with context', '2026-11-21 08:00:00.123 [main] INFO  a.b.C [user=7] - m', { module: 'a.b.C', attributes: { thread: 'main', context: 'user=7' } }],
  ['Spring Boot 3', '2026-11-21T09:00:00.123+01:00  INFO 123 --- [app] [           main] a.b.C    : m', { module: 'a.b.C', attributes: { application: 'app', pid: '123', thread: 'main' } }],
  ['Spring Boot 3 with tracing', '2026-11-21T08:00:00.123Z  INFO 123 --- [app] [nio-8080-exec-1] [65a1-7f] a.b.C : m', { module: 'a.b.C', attributes: { application: 'app', pid: '123', thread: 'nio-8080-exec-1', correlation: '65a1-7f' } }],
  ['Spring Boot 2', '2026-11-21 08:00:00.123  INFO 123 --- [           main] a.b.C                                  : m', { module: 'a.b.C', attributes: { pid: '123', thread: 'main' } }],
  ['Quarkus', '2026-11-21 08:00:00,123 INFO  [a.b.C] (executor-1) m', { module: 'a.b.C', attributes: { thread: 'executor-1' } }],
  ['Elasticsearch', '[2026-11-21T08:00:00,123][INFO ][o.e.n.Node               ] [node-1] m', { module: 'o.e.n.Node', attributes: { thread: 'node-1' } }],
  ['Hadoop', '2026-11-21 08:00:00,123 INFO org.apache.hadoop.hdfs.NameNode: m', { module: 'org.apache.hadoop.hdfs.NameNode' }],
  ['Hadoop’s tests', '2026-11-21 08:00:00,123 INFO  [main] namenode.NameNode (SignalLogger.java:register(147)) - m', { module: 'namenode.NameNode' }],
  ['ZooKeeper', '2026-11-21 08:00:00,123 [myid:1] - INFO  [main:QuorumPeerConfig@134] - m', { module: '' }],
  ['Cassandra', 'INFO  [main] 2026-11-21 08:00:00,123 YamlConfigurationLoader.java:89 - m', { module: 'YamlConfigurationLoader.java', attributes: { thread: 'main', where: '89' } }],
  ['Dropwizard', 'INFO  [2026-11-21 08:00:00,123] a.b.C: m', { module: 'a.b.C', attributes: null }],
  ['severity first', 'DEBUG 2026-11-21 08:00:00,123 [main] a.b.C - m', { severity: 'DEBUG', module: 'a.b.C' }],
  ['Tomcat', '21-Nov-2026 08:00:00.123 SEVERE [main] org.apache.catalina.startup.Catalina.start m', { severity: 'ERROR', module: 'org.apache.catalina.startup.Catalina.start', attributes: { thread: 'main' } }],
  ['a logger and a thread without marks', '2026-11-21 08:00:00,123 ERROR s.s.S.c.s.Handler [qtp-1] m', { severity: 'ERROR', module: 's.s.S.c.s.Handler', attributes: { thread: 'qtp-1' } }],
  ['logging of Python', '2026-11-21 08:00:00,123 - app.module - INFO - m', { module: 'app.module' }],
  ['logging of Python, above ERROR', '2026-11-21 08:00:00,123 - app.module - CRITICAL - m', { severity: 'CRITICAL', module: 'app.module' }],
  ['loguru', '2026-11-21 08:00:00.123 | SUCCESS  | app.main:run:12 - m', { module: 'app.main', attributes: { where: 'run:12' } }],
  ['loguru in a script', '2026-11-21 08:00:00.123 | CRITICAL | __main__:<module>:12 - m', { severity: 'CRITICAL', module: '__main__', attributes: { where: '<module>:12' } }],
  ['structlog’s console', '2026-11-21 08:00:00.123 [error    ] m', { severity: 'ERROR' }],
  ['winston’s printf', '2026-11-21 08:00:00.123 warn: m', { severity: 'WARN' }],
  ['Serilog’s file', '2026-11-21 09:00:00.123 +01:00 [ERR] m', { severity: 'ERROR' }],
  ['NLog', '2026-11-21 08:00:00.1230|WARN|MyApp.Program|m', { severity: 'WARN', module: 'MyApp.Program' }],
  ['zap’s console', '2026-11-21T08:00:00.123Z\tERROR\tmy.logger\ta/b.go:1\tm', { severity: 'ERROR', module: 'my.logger', attributes: { where: 'a/b.go:1' } }],
  ['zap’s console without a name', '2026-11-21T08:00:00.123+0000\tdpanic\ta/b.go:1\tm', { severity: 'PANIC', module: '' }],
  ['Monolog', '[2026-11-21T09:00:00.123000+01:00] app.EMERGENCY: m', { severity: 'EMERGENCY', module: 'app' }],
  ['Laravel', '[2026-11-21 08:00:00.123] local.ERROR: m', { severity: 'ERROR', module: 'local' }],
  ['Logger of Ruby', 'E, [2026-11-21T08:00:00.123000 #12345] ERROR -- prog: m', { severity: 'ERROR', module: 'prog', attributes: { pid: '12345' } }],
  ['Logger of Ruby without a name', 'F, [2026-11-21T08:00:00.123000 #12345] FATAL -- : m', { severity: 'FATAL', module: '' }],
  ['Logger of Ruby with the name of a class', 'W, [2026-11-21T08:00:00.123000 #9]  WARN -- My::App: m', { severity: 'WARN', module: 'My::App' }],
  ['Celery', '[2026-11-21 08:00:00,123: ERROR/ForkPoolWorker-1] m', { severity: 'ERROR', module: '', attributes: { thread: 'ForkPoolWorker-1' } }],
  ['tracing of Rust', '2026-11-21T08:00:00.123000Z ERROR my::mod: m', { severity: 'ERROR', module: 'my::mod' }],
  ['tracing of Rust, filled up', '2026-11-21T08:00:00.123000Z  WARN my::mod::inner: m', { severity: 'WARN', module: 'my::mod::inner' }],
  ['env_logger of Rust', '[2026-11-21T08:00:00.123Z ERROR my::mod] m', { severity: 'ERROR', module: 'my::mod' }],
  ['klog', 'E1121 08:00:00.123000       1 controller.go:123] m', { severity: 'ERROR', module: '', attributes: { thread: '1', where: 'controller.go:123' } }],
  ['MySQL', '2026-11-21T08:00:00.123000Z 0 [Warning] [MY-010068] [Server] m', { severity: 'WARN', module: 'Server', attributes: { thread: '0', code: 'MY-010068' } }],
  ['MariaDB', '2026-11-21 08:00:00.123 8 [Note] m', { severity: 'NOTICE', module: '', attributes: { thread: '8' } }],
  ['Trino', '2026-11-21T08:00:00.123Z\tERROR\tmain\tio.trino.Server\tm', { severity: 'ERROR', module: 'io.trino.Server', attributes: { thread: 'main' } }],
  ['Jenkins', '2026-11-21 08:00:00.123+0000 [id=25]\tSEVERE\tjenkins.Init$1#onTaskFailed: m', { severity: 'ERROR', module: 'jenkins.Init$1#onTaskFailed' }],
  ['%d{ISO8601_BASIC}', '20261121T080000,123 [main] WARN  a.b.C - m', { severity: 'WARN', module: 'a.b.C' }],
  ['%d{COMPACT}', '20261121080000123 [main] WARN  a.b.C - m', { severity: 'WARN', module: 'a.b.C' }],
  ['%d{ISO8601_OFFSET_DATE_TIME_HH}', '2026-11-21T01:00:00,123-07 [main] WARN  a.b.C - m', { severity: 'WARN', module: 'a.b.C' }],
  ['%d{US_MONTH_DAY_YEAR4_TIME}', '11/21/2026 08:00:00.123 [main] WARN  a.b.C - m', { severity: 'WARN', module: 'a.b.C' }],
  ['%d{UNIX_MILLIS}', '1795248000123 [main] WARN  a.b.C - m', { severity: 'WARN', module: 'a.b.C' }],
  ['Kafka’s layout without a module', '[2026-11-21 08:00:00,123] WARN m', { severity: 'WARN', module: '', attributes: null }],
  ['Kafka’s layout', '[2026-11-21 08:00:00,123] INFO m (a.b.C)', { module: 'a.b.C', attributes: null }],
])('%s', (_, line, expected) => {
  test('is read', () => {
    const { rows, rejects } = readAll(log4j, line, { constants });
    expect(rejects).toEqual([]);
    expect(rows).toMatchObject([{ severity: 'INFO', message: 'm', ...expected }]);
    expect(at(rows[0]!)).toBe('2026-11-21T08:00:00.123Z');
  });
  test('keeps its traces', () => {
    const { rows, rejects } = readAll(log4j, `${line}\n${trace}\n`.repeat(3), { constants });
    expect(rejects).toEqual([]);
    expect(rows.map(({ message }) => message)).toEqual([`m\n${trace}`, `m\n${trace}`, `m\n${trace}`]);
    expect(rows).toMatchObject([expected, expected, expected]);
  });
}); // prettier-ignore

test('Spark’s template, whose years have two digits', () =>
  expect(at(readAll(log4j, '26/11/21 08:00:00 INFO executor.Backend: m', { constants }).rows[0]!)).toBe(
    '2026-11-21T08:00:00.000Z',
  ));
test('java.util.logging, with two lines a record', () => {
  const { rows } = readAll(
    log4j,
    `Nov 21, 2026 8:00:00 AM demo.Thing run\nSEVERE: m\n${trace}\nNov 21, 2026 8:00:01 PM demo.Thing run\nINFO: n\n`,
    { constants },
  );
  expect(rows).toMatchObject([
    { severity: 'ERROR', module: 'demo.Thing', message: `m\n${trace}`, attributes: { where: 'run' } },
    { severity: 'INFO', message: 'n' },
  ]);
});
test('java.util.logging since Java 20, which puts a narrow space before the half of the day', () =>
  expect(
    readAll(log4j, 'Nov 21, 2026 8:00:00\u202fPM demo.Thing run\nSEVERE: m\n', { constants }).rows.map(at),
  ).toEqual(['2026-11-21T20:00:00.000Z']));
test.each<[string, Partial<Row>]>([
  ['[08:00:00] [Server thread/WARN]: m', { severity: 'WARN', module: '', attributes: { thread: 'Server thread' } }],
  ['[08:00:00] [main/ERROR] [net.mod.Loader/]: m', { severity: 'ERROR', module: 'net.mod.Loader' }],
])('Minecraft: %s', (line, expected) =>
  expect(readAll(log4j, line, { constants }).rows).toMatchObject([{ message: 'm', ...expected }]),
);
test.each<[string, Partial<Row>]>([
  ['2026-11-21 08:00:00,123 WARN  [org.hibernate.SQL] (default task-1) [x] y', { module: 'org.hibernate.SQL', message: '[x] y', attributes: { thread: 'default task-1' } }],
  ['2026-11-21 08:00:00,123 WARN  [org.jboss.as] (MSC 1) (x) [y] z', { module: 'org.jboss.as', message: '(x) [y] z' }],
  ['[2026-11-21T08:00:00,123][INFO ][o.e.c.m.CreateIndex] [node-1] [index] creating [2]', { module: 'o.e.c.m.CreateIndex', message: '[index] creating [2]', attributes: { thread: 'node-1' } }],
  ['[2026-11-21T08:00:00,123][INFO ][o.e.n.Node] [node-1] started - ready', { module: 'o.e.n.Node', message: 'started - ready' }],
  ['26/11/21 08:00:00 ERROR Executor: Exception in task', { module: 'Executor', message: 'Exception in task' }],
])('a message keeps what it begins with: %s', (line, expected) =>
  expect(readAll(log4j, line, { constants }).rows).toMatchObject([expected])); // prettier-ignore
test('a second line that begins with a severity is a part of the message', () => {
  for (const start of ['INFO a.b.C - m', 'INFO m'])
    expect(readAll(log4j, `2026-11-21 08:00:00,123 ${start}\nSEVERE: no\n`, { constants }).rows).toMatchObject([
      { severity: 'INFO', message: 'm\nSEVERE: no' },
    ]);
});
test('a second severity is a word of the message, not the logger', () =>
  expect(
    readAll(log4j, '[2026-11-21T08:00:00.123+0000] {task.py:13} INFO - ERROR: m', { constants }).rows,
  ).toMatchObject([{ severity: 'INFO', module: '', message: 'ERROR: m' }]));
test('a thread may be called as a severity of one language is', () =>
  expect(readAll(log4j, '08:00:00.123 [http] INFO a.b.C - m', { constants }).rows).toMatchObject([
    { severity: 'INFO', message: 'm', attributes: { thread: 'http' } },
  ]));
test('a number or a word that opens a line of a message opens no record', () =>
  expect(
    readAll(log4j, '08:00:00.123 [main] INFO a.b.C - m\n1795248000 of 12\nE, [x]\nerror: no\n', { constants }).rows,
  ).toMatchObject([{ message: 'm\n1795248000 of 12\nE, [x]\nerror: no' }]));
test('a word before a colon is no logger where the layout has none', () =>
  expect(readAll(log4j, '[2026-11-21 08:00:00,123] WARN Shutdown: done', { constants }).rows).toMatchObject([
    { module: '', message: 'Shutdown: done' },
  ]));
test.each([
  ['2026-11-21 08:00:00,123 LOUD [main] a.b.C - m'],
  ['2026-11-21 25:00:00,123 INFO [main] a.b.C - m'],
  ['2026-11-21 08:00:00,123 no severity'],
  ['[2026-11-21 08:00:00,123] NOTICED m (a.B)'],
  ['[2026-11-21 08:00:00,123] INF'],
  ['2026-11-21 08:00:00,123 [main] CRIT'],
])('%s is a letter', (line) => expect(readAll(log4j, line, { constants }).rejects).toHaveLength(1));
