// What lives here: a folder of logs to which everything happens that happens to logs, runs over it, and an oracle that counts from Postgres.
// Invariant: every line has an id of its own and says so twice, so a torn one is seen; the truth is kept beside the files and never read from them.
// Apart because the sequences are made by dice, and what they mean must not be.
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { ingestFile } from '../../src/activities/log-ingest.ts';
import { type FileRef, listFiles } from '../../src/connectors/files.ts';
import type { FlowContext, Sink } from '../../src/flow/index.ts';
import { CodedError } from '../../src/model/failure.ts';
import { armFailpoints, type Failpoint } from '../../src/store/failpoint.ts';
import { abortRun, closeRun } from '../../src/store/ledger.ts';
import { showLetter } from '../../src/store/letters.ts';
import type { Sealer } from '../../src/store/seal.ts';
import { contextOf, testSink } from '../flow/memory.ts';

/** Bad lines are no UTF-8, which no format takes for anything else. */
const lineOf = (id: number): Buffer =>
  id % 17 === 0
    ? Buffer.concat([Buffer.from([0xff]), Buffer.from(` bad ${id} ${'x'.repeat(60)} ${id}\n`)])
    : Buffer.from(`2026-11-20T08:00:00.000Z INFO [m] line ${id} ${'x'.repeat(60 + (id % 23))} ${id}\n`);

export interface Run {
  readonly key: string;
  readonly date: string;
  generation: number;
  state: 'open' | 'asking' | 'done' | 'aborted';
  files: FileRef[] | undefined;
  readonly ended: Set<string>;
  losses: number;
  /** Codes it asked with. */
  readonly asked: string[];
  /** Sources that it asks about now. */
  readonly askedOf: Set<string>;
}

export interface Kill {
  /** After so many chunks the attempt is told to stop, and nobody comes back to it for a while. */
  readonly afterChunks?: number;
  /** Or it dies there. */
  readonly at?: Failpoint;
  readonly nth?: number;
}

/** For one test file: a database, and a life of its own for each test. `set` gets both before each. */
export function eachLife(name: string, set: (sink: TestSink, life: Life) => void): void {
  let sink: TestSink;
  let life: Life;
  let no = 0;
  beforeAll(async () => {
    sink = await testSink();
  });
  afterAll(() => sink.end());
  beforeEach(() => {
    life = new Life(sink, `${name}-${++no}`);
    set(sink, life);
  });
  afterEach(() => life.end());
}
export type TestSink = Awaited<ReturnType<typeof testSink>>;

export class Life {
  readonly folder = mkdtempSync(join(tmpdir(), 'mendflow-life-'));
  readonly runs: Run[] = [];
  /** Ids of the lines of every file, as they were at each moment. */
  readonly snapshots: ReadonlySet<number>[] = [];
  /** How often a line was copied to another file. */
  readonly copies = new Map<number, number>();
  readonly log: string[] = [];
  #id = 0;
  #day = 0;
  readonly sink: Sink & { seal: Sealer };
  /** Of its own, so that many lives share a database. */
  readonly pipeline: string;
  constructor(sink: Sink & { seal: Sealer }, pipeline: string) {
    this.sink = sink;
    this.pipeline = pipeline;
  }

  path = (name: string): string => join(this.folder, name);
  names = (): string[] => readdirSync(this.folder).sort();
  content(name: string): Buffer {
    const bytes = readFileSync(this.path(name));
    return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  }
  ids = (name: string): number[] => idsIn(this.content(name));
  lines = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => lineOf(++this.#id)));

  /** Does something to the folder, and remembers what is in it then. */
  change(what: string, body: () => void): void {
    this.log.push(what);
    body();
    for (const name of this.names()) this.snapshots.push(new Set(this.ids(name)));
  }

  append(name: string, count: number): void {
    this.change(`append ${count} to ${name}`, () => appendFileSync(this.path(name), this.lines(count)));
  }
  rename(from: string, to: string): void {
    this.change(`rename ${from} to ${to}`, () => renameSync(this.path(from), this.path(to)));
  }
  compress(name: string): void {
    this.change(`compress ${name}`, () => {
      writeFileSync(this.path(`${name}.gz`), gzipSync(readFileSync(this.path(name))));
      unlinkSync(this.path(name));
    });
  }
  copy(from: string, to: string): void {
    this.change(`copy ${from} to ${to}`, () => {
      copyFileSync(this.path(from), this.path(to));
      for (const id of this.ids(from)) this.copies.set(id, (this.copies.get(id) ?? 0) + 1);
    });
  }
  /** Copied away and emptied in its place: no line is in two files afterwards. */
  copyTruncate(from: string, to: string): void {
    this.change(`copytruncate ${from} to ${to}`, () => {
      copyFileSync(this.path(from), this.path(to));
      writeFileSync(this.path(from), '');
    });
  }
  /** Cut behind one of its lines. */
  truncate(name: string, keep: number): void {
    this.change(`truncate ${name} to ${keep} lines`, () =>
      writeFileSync(this.path(name), Buffer.concat(this.ids(name).slice(0, keep).map(lineOf))),
    );
  }
  /** Other lines in its place: all of them, from a line on, or in the middle; with the same length or another. */
  rewrite(name: string, from: number, to: number, count: number): void {
    this.change(`rewrite ${name}, lines ${from} to ${to} become ${count}`, () => {
      const ids = this.ids(name);
      const parts = [...ids.slice(0, from).map(lineOf), this.lines(count), ...ids.slice(to).map(lineOf)];
      writeFileSync(this.path(name), Buffer.concat(parts));
    });
  }
  /** The same, but by a new file that is put in its place. */
  replace(name: string, count: number): void {
    this.change(`replace ${name} by ${count} lines`, () => {
      writeFileSync(this.path('.new'), this.lines(count));
      renameSync(this.path('.new'), this.path(name));
    });
  }

  async begin(): Promise<Run> {
    const date = new Date(Date.UTC(2026, 0, 1 + this.#day++)).toISOString().slice(0, 10);
    const run: Run = {
      key: `${this.pipeline}/${date}/life`,
      date,
      generation: 1,
      state: 'open',
      files: undefined,
      ended: new Set(),
      losses: 0,
      asked: [],
      askedOf: new Set(),
    };
    await this.sink.pool.query(
      `insert into mendflow.run (key, pipeline, data_date, scope) values ($1, $2, $3, 'life')`,
      [run.key, this.pipeline, date],
    );
    this.runs.push(run);
    return run;
  }
  /** Started again with --force, or after an abort: the next generation. */
  async again(run: Run): Promise<void> {
    run.generation++;
    run.state = 'open';
    run.files = undefined;
    run.ended.clear();
    await this.sink.pool.query(
      `update mendflow.run set generation = $2, state = 'running', closed_at = null where key = $1`,
      [run.key, run.generation],
    );
  }
  async abort(run: Run): Promise<void> {
    this.log.push(`abort ${run.key}`);
    await abortRun(this.sink.pool, run.key, { state: 'aborted', actor: 'test', reason: 'dice' });
    run.state = 'aborted';
  }

  /** Works a run as far as it goes: to its end, to a question, or until it is killed. `meanwhile` happens after the first chunk. */
  async work(run: Run, kill: Kill = {}, meanwhile?: () => void): Promise<void> {
    this.log.push(`work ${run.key} ${JSON.stringify(kill)}`);
    if (kill.at) armFailpoints(`${kill.at}:throw@${kill.nth ?? 1}`);
    const stop = new AbortController();
    let chunks = 0;
    const onChunk = (): void => {
      if (++chunks === 1) meanwhile?.();
      if (chunks === kill.afterChunks) stop.abort();
    };
    try {
      run.files ??= await listFiles(this.folder);
      run.askedOf.clear();
      const ends = [];
      for (const file of run.files) {
        if (run.ended.has(file.name)) continue;
        const end = await this.#file(run, file, { signal: stop.signal, onChunk });
        this.log.push(`  ${file.name}: ${end}`);
        if (end === 'killed') {
          run.losses++;
          return;
        }
        if (end === 'done') run.ended.add(file.name);
        else ends.push(end);
      }
      run.asked.push(...ends);
      run.state = ends.length > 0 ? 'asking' : await this.#close(run);
      if (run.state === 'asking')
        await this.sink.pool.query(`update mendflow.run set state = 'asking' where key = $1`, [run.key]);
    } finally {
      armFailpoints('');
    }
  }

  async #close(run: Run): Promise<Run['state']> {
    const closed = await closeRun(this.sink.pool, run.key).catch((error: unknown) =>
      killed(error) ? undefined : raise(error),
    );
    if (!closed) return 'open';
    if (closed.balanced) return 'done';
    this.log.push(`  ${closed.faults.join(' ')}`);
    run.asked.push('run_unbalanced');
    return 'asking';
  }

  async #file(run: Run, file: FileRef, more: Pick<FlowContext, 'signal' | 'onChunk'>): Promise<string> {
    const ctx = (): FlowContext =>
      contextOf({
        ...more,
        pipeline: this.pipeline,
        runKey: run.key,
        stage: `ingest[${file.name}]`,
        dataDate: run.date,
        generation: run.generation,
        attemptAt: Date.now(),
        losses: run.losses > 0 ? 1 : 0,
      });
    const input = { file, format: 'plain', path: this.folder, sealed: true } as const;
    for (let tries = 1; ; tries++) {
      try {
        const { done } = await ingestFile(this.sink, ctx(), input, {
          recordsMax: 5,
          lanes: 1 + (run.date.charCodeAt(9) % 2),
        });
        if (done) return 'done';
        if (more.signal.aborted) return 'killed';
      } catch (error) {
        if (killed(error)) return 'killed';
        if (!(error instanceof CodedError)) throw error;
        this.log.push(`  ${file.name}: ${error.message}`);
        const [, source] = /\(source (\d+)/.exec(error.message) ?? [];
        if (source !== undefined) run.askedOf.add(source);
        if (error.failure.class === 'permanent' || tries > 3) return error.failure.code;
      }
    }
  }

  /** What is wrong, in sentences. `strict`: no run may ask either, because nothing was destroyed. */
  async violations(strict: boolean): Promise<string[]> {
    const found: string[] = [];
    const there = await this.#stored(found);
    const open = this.runs.filter(({ state }) => state === 'open' || state === 'asking');
    // A file that was renamed after a run listed it and before the run came to it is one that only a person can look for.
    const unneeded = open.filter(({ asked }) => asked.some((code) => code !== 'file_vanished'));
    if (strict) for (const run of unneeded) found.push(`${run.key} is ${run.state}: ${run.asked.join(', ')}`);
    const now = new Set(this.names().flatMap((name) => this.ids(name)));
    for (const id of now) {
      const rows = there.get(id)?.length ?? 0;
      if (rows === 0 && open.length === 0) found.push(`line ${id} is nowhere, and no run asks`);
    }
    // What was copied of a log that had been altered looks like a file of its own; then the log itself asks.
    const asked = new Set(open.flatMap(({ askedOf }) => [...askedOf]));
    for (const [id, sources] of there)
      if (sources.length > 1 + (this.copies.get(id) ?? 0) && (strict || !sources.some((source) => asked.has(source))))
        found.push(`line ${id} is there ${sources.length} times`);
    return found;
  }

  /** Of which source each line is a row or a letter, once for each; torn ones and mixes are told. */
  async #stored(found: string[]): Promise<Map<number, string[]>> {
    const there = new Map<number, string[]>();
    const groups = new Map<string, Set<number>>();
    const add = (id: number, source: string, date: string): void => {
      there.set(id, [...(there.get(id) ?? []), source]);
      const group = `${date} ${source}`;
      groups.set(group, (groups.get(group) ?? new Set()).add(id));
    };
    const { rows } = await this.sink.pool.query<{ message: string; source: string; date: string }>(
      `select message, source_id as source, data_date::text as date from log_entries e join mendflow.source s on s.id = e.source_id where s.pipeline = $1`,
      [this.pipeline],
    );
    for (const { message, source, date } of rows) {
      const [, id, again] = /^line (\d+) x* (\d+)$/.exec(message) ?? [];
      if (id === undefined || id !== again) found.push(`a torn row: ${message}`);
      else add(Number(id), source, date);
    }
    const letters = await this.sink.pool.query<{ id: string; source: string; date: string }>(
      `select l.id, l.source_id as source, split_part(l.run_key, '/', 2) as date from mendflow.dead_letter l
       join mendflow.source s on s.id = l.source_id where l.state = 'open' and s.pipeline = $1`,
      [this.pipeline],
    );
    for (const { id, source, date } of letters.rows) {
      const letter = await showLetter(this.sink.pool, id, this.sink.seal);
      const [, first, again] = / bad (\d+) x* (\d+)$/.exec(letter!.raw.toString('latin1')) ?? [];
      if (first === undefined || first !== again) found.push(`a torn letter: ${letter!.raw.toString('latin1')}`);
      else add(Number(first), source, date);
    }
    for (const [group, ids] of groups) {
      const run = this.runs.find(({ date }) => group.startsWith(date));
      if (run?.state === 'done' && !this.snapshots.some((snapshot) => [...ids].every((id) => snapshot.has(id))))
        found.push(`${group}: a green run of lines that were never in one file together`);
    }
    return there;
  }

  end = (): void => rmSync(this.folder, { recursive: true });
}

const raise = (error: unknown): never => {
  throw error;
};
const killed = (error: unknown): boolean => error instanceof Error && error.message.startsWith('Failpoint ');
const idsIn = (bytes: Buffer): number[] =>
  [...bytes.toString('latin1').matchAll(/(?:line|bad) (\d+) /g)].map(([, id]) => Number(id));
