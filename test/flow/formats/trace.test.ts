// What lives here: traces of errors in plain logs, as the languages print them: each stays with the record before it.
// Invariant: the traces are those that the runtimes print; a damaged record never hides in the message of another.
// Apart because plain is the format in which most lines are records of their own.
import { describe, expect, test } from 'vitest';
import { plain, strict } from '../../../src/flow/formats/plain.ts';
import { readAll } from './read.ts';

const head = (message: string, severity = 'ERROR'): string => `2026-11-21T08:00:00.000Z ${severity} [app] ${message}`;

const traces: Readonly<Record<string, string>> = {
  Java: 'java.lang.IllegalStateException: no\n\tat demo.Thing.run(Thing.java:1)\n\t... 3 common frames omitted\n\tSuppressed: java.io.IOException: x\n\t\tat a.B.c(B.java:2)\nCaused by: java.io.IOException: disk (full)\n\t... 12 more',
  'Java, by its thread': 'Exception in thread "main" com.acme.Oops: no\n\tat demo.Main.main(Main.java:3)',
  Python: 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\n    ~^^\nValueError: x',
  'Python, with its cause':
    'Traceback (most recent call last):\n  File "a.py", line 1\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File "a.py", line 3\nmy.errors.Problem: two\nlines of it',
  Node: 'Error: no\n    at run (demo.js:1:1)\n    at node:internal/main:2:3 {\n  code: 1,\n  [cause]: TypeError [ERR_X]: y\n      at z (a.js:1:2)\n}\n\nNode.js v20.1.0',
  Go: 'panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x1d\nexit status 2',
  Rust: "thread 'main' panicked at src/main.rs:2:5:\nboom\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/x\nnote: run with `RUST_BACKTRACE=full`",
  'Rust’s errors': 'Error: cannot read\n\nCaused by:\n    0: No such file\n    1: x',
  Ruby: "app.rb:1:in 'foo': no (RuntimeError)\n\tfrom app.rb:3:in '<main>'",
  Rails: 'ActionController::RoutingError (No route matches [GET] "/x"):\n  \nactionpack (7.1.2) lib/x.rb:65:in `call\'',
  PHP: 'PHP Fatal error:  Uncaught Exception: no in /a.php:3\nStack trace:\n#0 /a.php(7): f()\n#1 {main}\n  thrown in /a.php on line 3',
  '.NET':
    'System.InvalidOperationException: no\n ---> System.IO.IOException: x\n   at A.B() in /a.cs:line 1\n   --- End of inner exception stack trace ---\n   at C.D()',
  Elixir: '** (RuntimeError) no\n    a.ex:1: A.b/0',
};

describe('the trace of', () => {
  test.each(Object.entries(traces))('%s stays with its record', (_, trace) => {
    const { rows, rejects, skipped } = readAll(plain, `${head('a')}\n${trace}\n${head('b', 'INFO')}\n`);
    expect(rejects).toEqual([]);
    expect(rows.map(({ message }) => message)).toEqual([`a\n${trace}`, 'b']);
    expect(skipped).toBe(0);
  });
  test('is the same however its bytes come', () => {
    const text = Object.values(traces)
      .map((trace) => `${head('a')}\n${trace}\n`)
      .join('');
    const whole = readAll(plain, text);
    for (const feed of [[1], [7, 100], [600]]) expect(readAll(plain, text, { feed }).rows).toEqual(whole.rows);
    expect(whole.rows).toHaveLength(Object.keys(traces).length);
  });
});

describe('a letter remains', () => {
  test.each([
    'no time at all',
    'restarting, please wait',
    ' INFO [app] no time',
    '   ERROR [app] no time',
    '2026-11-2',
    '2026-02-30T08:00:00Z INFO [app] x',
    'INFO [app] x',
    '21/11/2026 08:00:00 INFO [app] x',
    'key: value',
  ])('of "%s" behind a record', (line) => {
    const { rows, rejects } = readAll(plain, `${head('a')}\n${line}\n${head('b')}\n`);
    expect([rows.length, rejects.length]).toEqual([2, 1]);
  });
  test.each(['2026-11-2', '  2026-11-21T08:00 INFO', 'x INFO [app] y'])('of "%s" behind a trace', (line) => {
    const { rows, rejects } = readAll(plain, `${head('a')}\n${traces['Java']!}\n${line}\n${head('b')}\n`);
    expect([rows.length, rejects.length]).toEqual([2, 1]);
  });
  test('of each line of a trace without a record before it', () =>
    expect(readAll(plain, `\tat a.B.c(B.java:1)\nCaused by: x\n${head('a')}\n`).rejects).toHaveLength(2));
});

test.each([
  ['DEBUG', 'DEBUG'], ['TRACE', 'TRACE'], ['FATAL', 'FATAL'], ['WARNING', 'WARN'], ['NOTICE', 'NOTICE'], ['CRITICAL', 'CRITICAL'], ['ALERT', 'ALERT'],
  ['EMERG', 'EMERGENCY'], ['PANIC', 'PANIC'], ['SEVERE', 'ERROR'], ['FINE', 'DEBUG'], ['VERBOSE', 'TRACE'], ['warn', 'WARN'], ['Info', 'INFO'], ['I', 'INFO'], ['E', 'ERROR'], ['err', 'ERROR'],
])('%s is stored as %s', (written, stored) =>
  expect(readAll(plain, head('m', written)).rows).toMatchObject([{ severity: stored, message: 'm' }]),
); // prettier-ignore

test('the strict format has three severities, and no line continues another', () => {
  const { rows, rejects } = readAll(
    strict,
    [head('a'), traces['Node']!.split('\n')[1]!, head('b', 'DEBUG'), head('c', 'WARN')].join('\n'),
  );
  expect(rows.map(({ message }) => message)).toEqual(['a', 'c']);
  expect(rejects.map(({ line }) => line)).toEqual([2, 3]);
});
