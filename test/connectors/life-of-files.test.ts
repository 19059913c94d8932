// What is promised here: whatever happens to logs while runs load them, every line is in exactly one row or letter, or a run asks; never a green run with a line missing or a mix.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failpoints } from '../../src/store/failpoint.ts';
import { testSink } from '../flow/memory.ts';
import { dice } from '../simulation/stage.ts';
import { type Kill, Life } from './life-of-files.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

/** More of them: `LIFE_SEEDS=200 npx vitest run --project integration test/connectors/life-of-files.test.ts`. */
const SEEDS = Number(process.env['LIFE_SEEDS'] ?? 6);
const FIRST = Number(process.env['LIFE_FIRST'] ?? 1);
/** Only these: `LIFE_ONLY=47,52`. */
const ONLY = process.env['LIFE_ONLY']?.split(',').map(Number);

const STEPS = 14;
const calm = [
  'append',
  'append',
  'rename',
  'rotate',
  'compress',
  'copy',
  'copyTruncate',
  'run',
  'run',
  'kill',
  'kill',
  'force',
  'resume',
  'abort',
] as const;
const harsh = ['truncate', 'rewrite', 'replace', 'rewriteMeanwhile', 'rewriteMeanwhile', 'truncateMeanwhile'] as const;
type Step = (typeof calm)[number] | (typeof harsh)[number];

/** Half of the sequences destroy nothing: then nothing may ask either. */
async function live(seed: number): Promise<{ found: string[]; life: Life }> {
  const random = dice(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(of: readonly T[]): T => of[below(of.length)]!;
  const life = new Life(sink, `life-${seed}`);
  const strict = seed % 2 === 0;
  const steps: readonly Step[] = strict ? calm : [...calm, ...harsh];
  let fresh = 0;
  const logs = (): string[] => life.names().filter((name) => name.endsWith('.log'));
  const anyPlain = (): string | undefined => pick(life.names().filter((name) => !name.endsWith('.gz')));
  const room = (): boolean => life.names().length < 8;
  /** Of few bytes only a name can say that they are the same log, so such a log keeps its own. */
  const isSmall = (name: string): boolean => life.content(name).length < 2_000;
  const renamed = (name: string): string => {
    const n = ++fresh;
    return isSmall(name) ? `${name.replace(/\.log$/, '')}_${n}.log` : `other${'abcdefghijklmnopqrstuvwxyz'[n]}.log`;
  };
  const rotated = (name: string): string => {
    const base = name.replace(/\.log$/, '');
    const n = ++fresh;
    if (!isSmall(name) && below(5) === 0) return `old-${'abcdefghijklmnopqrstuvwxyz'[n]}`;
    return pick([
      `${name}.${n}`,
      `${base}.2026-11-${10 + n}.log`,
      `${base}-2026-11-21-${n}.log`,
      `${base}${n}.log`,
      `old-${n}`,
    ]);
  };
  const kill = (): Kill =>
    below(2) === 0
      ? { afterChunks: 1 + below(4) }
      : { at: pick(failpoints.filter((point) => point !== 'chunk.inCommit')), nth: 1 + below(4) };
  const spoil = (name: string): void => {
    const count = life.ids(name).length;
    const from = below(count + 1);
    life.rewrite(name, pick([0, from]), pick([count, Math.min(count, from + 1 + below(3))]), 1 + below(20));
  };
  for (const name of ['app.log', 'web.log', 'tiny.log'])
    life.append(name, name === 'tiny.log' ? 1 + below(3) : 5 + below(30));
  for (let step = 0; step < STEPS; step++) {
    const what = pick(steps);
    const name = pick(logs());
    const open = life.runs.filter(({ state }) => state === 'open' || state === 'asking');
    const resumed = open.length > 0 && below(2) === 0 ? pick(open) : undefined;
    if (what === 'append' && name) life.append(name, 1 + below(25));
    else if (what === 'rename' && name) life.rename(name, renamed(name));
    else if (what === 'rotate' && name && room()) {
      life.rename(name, rotated(name));
      if (below(4) > 0) life.append(name, 1 + below(20));
    } else if (what === 'compress' && anyPlain()) life.compress(anyPlain()!);
    else if (what === 'copy' && anyPlain() && room()) life.copy(anyPlain()!, `copy-${++fresh}.log`);
    else if (what === 'copyTruncate' && name && room()) {
      life.copyTruncate(name, rotated(name));
      if (below(2) === 0) life.append(name, 1 + below(20));
    } else if (what === 'truncate' && name) life.truncate(name, below(life.ids(name).length + 1));
    else if (what === 'rewrite' && name) spoil(name);
    else if (what === 'replace' && name) life.replace(name, 1 + below(30));
    else if (what === 'run') await life.work(resumed ?? (await life.begin()));
    else if (what === 'kill') await life.work(resumed ?? (await life.begin()), kill());
    else if (what === 'resume' && open.length > 0) await life.work(pick(open));
    else if (what === 'abort' && open.length > 0) await life.abort(pick(open));
    else if (what === 'force') {
      const ended = life.runs.filter(({ state }) => state === 'done' || state === 'aborted');
      if (ended.length === 0) continue;
      const run = pick(ended);
      await life.again(run);
      await life.work(run, below(3) === 0 ? kill() : {});
    } else if (what === 'rewriteMeanwhile' && name) await life.work(await life.begin(), {}, () => spoil(name));
    else if (what === 'truncateMeanwhile' && name)
      await life.work(await life.begin(), {}, () => life.truncate(name, below(life.ids(name).length + 1)));
  }
  for (let round = 0; round < 3; round++)
    for (const run of life.runs) if (run.state === 'open' || run.state === 'asking') await life.work(run);
  await life.work(await life.begin());
  return { found: await life.violations(strict), life };
}

describe('sequences of what happens to logs', () => {
  const asked = { runs: 0, of: 0 };
  afterAll(() => console.log(`${asked.runs} of ${asked.of} sequences end with a question.`));
  it.each(ONLY ?? Array.from({ length: SEEDS }, (_, index) => FIRST + index))('seed %i', async (seed) => {
    const { found, life } = await live(seed);
    asked.of++;
    if (life.runs.some(({ state }) => state !== 'done' && state !== 'aborted')) asked.runs++;
    try {
      expect(found, life.log.join('\n')).toEqual([]);
    } finally {
      life.end();
    }
  });
});
