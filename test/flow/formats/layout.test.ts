// What lives here: what is said of a file that was read in the wrong format.
// Invariant: a format is named only if most of the sample has its shape.
// Apart because the sentence is made of all formats together.
import { expect, test } from 'vitest';
import { formats } from '../../../src/flow/formats/index.ts';
import { layoutSentence } from '../../../src/flow/layout.ts';
import { dayOfDataDate } from '../../../src/flow/parse/time.ts';

const day = dayOfDataDate('2026-11-21')!;
const samples: Readonly<Record<string, string>> = {
  plain: '2026-11-21T08:00:00Z INFO [m] x\n',
  log4j: '2026-11-21 08:00:00,123 [main] INFO a.B - x\n\tat a.B\n',
  apache: '203.0.113.1 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "UA"\n',
  syslog: 'Nov 21 08:00:00 h sshd[1]: x\n',
  jsonl: '{"time":"2026-11-21T08:00:00Z","level":"info","msg":"x"}\n',
};
const say = (chosen: keyof typeof formats, text: string): string =>
  layoutSentence(formats[chosen], formats, Buffer.from(text), day);

test.each(Object.keys(samples))('a file of %s read as any other is told to be that', (real) => {
  for (const chosen of Object.keys(samples) as (keyof typeof formats)[]) {
    if (chosen === real || (chosen === 'log4j' && real === 'plain')) continue;
    expect([chosen, say(chosen, samples[real]!.repeat(300))]).toEqual([
      chosen,
      `No record of the first 200 has the shape of ${chosen}; it looks like ${real}. To load it as such: abort this run, then start it with \`--set format=${real}\`.`,
    ]);
  }
});
test('of a file in the right format nothing is said', () => {
  for (const [name, text] of Object.entries(samples)) expect(say(name as 'plain', text.repeat(9))).toBe('');
});
test('what looks like nothing is said to', () =>
  expect(say('plain', 'hello world\n'.repeat(3))).toBe(
    'No record of the first 3 has the shape of plain; it looks like none of the formats there are.',
  ));
test.each([
  ['all', (_n: number) => 'INFOO', 200],
  ['most', (n: number) => ['INFO', 'INFOO', 'warnning'][n % 3]!, 133],
])('a file whose severities are wrong in %s lines is sent to no other format', (_which, severity, wrong) => {
  const text = Array.from(
    { length: 300 },
    (_none, n) => `2026-11-20T00:00:00.015Z ${severity(n)} [mod0] id=${n} message\n`,
  ).join('');
  expect(say('plain', text)).toMatch(
    new RegExp(`^${wrong} of the first 200 records have the shape of plain and a severity that it does not know, so`),
  );
});
