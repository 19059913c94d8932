// What is promised here: a file on the wrong side of a wall is refused by the linter, with a sentence that says why.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = join(import.meta.dirname, '..', '..');

const pure = 'model/ is pure';
const inner = 'model/ is imported by all and imports none';
const sandbox = "Workflow code runs in Temporal's sandbox and is replayed";
const typesOnly = 'Workflow code imports activities as types only';
const noTemporal = 'connectors/, store/ and flow/ know nothing of Temporal';
const dataPlane = 'The data plane does not know who schedules it';
const noPipeline = 'The engine knows no pipeline';
const noClock = 'A pipeline never reads a clock';

/** Where it is planted, what, and the beginning of the sentence that refuses it. */
const planted: readonly (readonly [file: string, code: string, why: string])[] = [
  ['src/model/files.ts', "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;", pure],
  ['src/model/client.ts', "import { Client } from '@temporalio/client';\nexport const made = Client;", pure],
  ['src/model/driver.ts', "import pg from 'pg';\nexport const pool = pg.Pool;", pure],
  ['src/model/up.ts', "import { openRun } from '../store/runs.ts';\nexport const open = openRun;", inner],
  [
    'src/model/pipelines.ts',
    "import { logIngest } from '../workflows/log-ingest.ts';\nexport const all = [logIngest];",
    inner,
  ],
  ['src/model/clock.ts', 'export const now = (): number => Date.now();', 'model/ never reads a clock'],
  ['src/model/dice.ts', 'export const roll = (): number => Math.random();', 'model/ never rolls dice'],
  ['src/model/wait.ts', 'export const later = (f: () => void): unknown => setTimeout(f, 1);', 'model/ computes waits'],
  ['src/model/env.ts', 'export const pid = (): number => process.pid;', pure],

  ['src/engine/workflow/files.ts', "import { join } from 'node:path';\nexport const path = join;", sandbox],
  ['src/engine/workflow/schema.ts', "import { z } from 'zod';\nexport const schema = z;", sandbox],
  ['src/engine/workflow/context.ts', "import { log } from '@temporalio/activity';\nexport const write = log;", sandbox],
  [
    'src/engine/workflow/guard.ts',
    "import { guarded } from '../activity/guard.ts';\nexport const g = guarded;",
    typesOnly,
  ],
  ['src/workflows/driver.ts', "import pg from 'pg';\nexport const pool = pg.Pool;", sandbox],
  [
    'src/workflows/activities.ts',
    "import { logIngestActivities } from '../activities/log-ingest.ts';\nexport const all = logIngestActivities;",
    typesOnly,
  ],
  ['src/workflows/flow.ts', "import { flow } from 'mendflow/flow';\nexport const load = flow;", typesOnly],
  ['src/workflows/today.ts', 'export const today = (): string => new Date().toISOString();', noClock],
  ['src/workflows/now.ts', 'export const now = (): number => Date.now();', noClock],

  [
    'src/flow/parse/heartbeat.ts',
    "import { Context } from '@temporalio/activity';\nexport const c = Context;",
    noTemporal,
  ],
  ['src/store/handle.ts', "import { Client } from '@temporalio/client';\nexport const c = Client;", noTemporal],
  ['src/connectors/signal.ts', "import { log } from '@temporalio/activity';\nexport const l = log;", noTemporal],
  ['src/flow/stage.ts', "import { stage } from '../engine/activity/context.ts';\nexport const s = stage;", dataPlane],
  ['src/flow/read/show.ts', "import { show } from '../../commands/show.ts';\nexport const s = show;", dataPlane],
  [
    'src/store/pipeline.ts',
    "import { logIngest } from '../workflows/log-ingest.ts';\nexport const p = logIngest;",
    dataPlane,
  ],

  [
    'src/engine/special.ts',
    "import { logIngest } from '../workflows/log-ingest.ts';\nexport const p = logIngest;",
    noPipeline,
  ],
  [
    'src/engine/activity/special.ts',
    "import { logIngestActivities } from '../../activities/log-ingest.ts';\nexport const a = logIngestActivities;",
    noPipeline,
  ],
  [
    'src/engine/workflow/special.ts',
    "import type { LogIngest } from '../../activities/log-ingest.ts';\nexport type Known = LogIngest;",
    noPipeline,
  ],
];

/** Rules of the house whose own words are enough. */
const refused: readonly (readonly [file: string, code: string, rule: string])[] = [
  ['src/store/secret.ts', "export const secret = (): unknown => process.env['SECRET'];", 'no-process-env'],
  [
    'src/flow/old-name.ts',
    "import { readFileSync } from 'fs';\nexport const read = readFileSync;",
    'prefer-node-protocol',
  ],
  ['src/flow/print.ts', "export const say = (): void => console.log('x');", 'no-console'],
  [
    'src/flow/swallow.ts',
    'export const f = (g: () => void): void => {\n  try {\n    g();\n  } catch {}\n};',
    'no-empty',
  ],
  ['src/flow/one.ts', "import { two } from './two.ts';\nexport const one = (): unknown => two;", 'no-cycle'],
  ['src/flow/two.ts', "import { one } from './one.ts';\nexport const two = (): unknown => one;", 'no-cycle'],
  ['src/flow/long.ts', `${'// long\n'.repeat(401)}export const long = 1;`, 'max-lines'],
];

/** On the right side of every wall. */
const allowed: readonly (readonly [file: string, code: string])[] = [
  [
    'src/workflows/types.ts',
    "import type { LogIngest } from '../activities/log-ingest.ts';\nexport type All = LogIngest;",
  ],
  [
    'src/engine/workflow/types.ts',
    "import type { StageLog } from '../activity/guard.ts';\nexport type Log = StageLog;",
  ],
  ['src/store/types.ts', "import type { Bins } from '../flow/context.ts';\nexport type Sums = Bins;"],
  ['src/activities/flow.ts', "import { flow } from 'mendflow/flow';\nexport const load = flow;"],
];

interface Diagnostic {
  readonly filename: string;
  readonly code: string;
  readonly message: string;
  readonly help?: string;
}

let folder: string;
let diagnostics: readonly Diagnostic[];
const saidOf = (file: string): string =>
  diagnostics
    .filter(({ filename }) => filename === file)
    .map(({ code, message, help }) => `${code}: ${message} ${help ?? ''}`)
    .join('\n');

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendflow-walls-'));
  copyFileSync(join(repository, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  for (const [file, code] of [...planted, ...refused, ...allowed]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), `${code}\n`);
  }
  const linted = spawnSync(join(repository, 'node_modules', '.bin', 'oxlint'), ['--format', 'json', '.'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 1 << 26,
  });
  expect(linted.status, linted.stderr).toBe(1);
  ({ diagnostics } = JSON.parse(linted.stdout) as { diagnostics: Diagnostic[] });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the linter', () => {
  it.each(planted)('refuses %s and says why', (file, _code, why) => {
    const said = saidOf(file);
    expect(said).toContain(why);
    expect(said).toMatch(/no-restricted-(imports|globals|properties)/);
  });

  it.each(refused)('refuses %s', (file, _code, rule) => expect(saidOf(file)).toContain(rule));

  it.each(allowed)('lets %s be', (file) => expect(saidOf(file)).toBe(''));

  it('tells every wall in a whole sentence that gives the reason or the way round', () => {
    const config = readFileSync(join(repository, '.oxlintrc.json'), 'utf8');
    const messages = [...config.matchAll(/"message": "((?:[^"\\]|\\.)*)"/g)].map(([, text]) => text!);
    expect(messages.length).toBeGreaterThan(10);
    for (const text of messages) expect(text).toMatch(/^\S.{25,}[.]$/s);
  });
});

describe('the model', () => {
  it('never asks what time it is: no rule of the linter sees `new Date()`', () => {
    const files = readdirSync(join(repository, 'src', 'model')).filter((name) => name.endsWith('.ts'));
    expect(files.length).toBeGreaterThan(5);
    for (const name of files)
      expect(readFileSync(join(repository, 'src', 'model', name), 'utf8'), name).not.toMatch(
        /new Date\(\s*\)|performance\.now/,
      );
  });
});
