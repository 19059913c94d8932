// What lives here: the command line in the process of a test, on an engine of its own.
// Invariant: output and exit code are those a shell would see; the environment is restored afterwards.
// Apart because every client test begins with it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { runCommandLine } from '../../src/commands/support/program.ts';
import type { Surroundings } from '../../src/commands/support/session.ts';
import { serve } from '../../src/engine/worker.ts';
import { copy, loud } from '../client/project/pipelines.ts';
import { type Engine, openEngine } from './engine.ts';

/** The caller says what it expects; its assertions say whether it is so. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- every caller names another shape
type Json = <T = Record<string, unknown>>() => T;

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** The output as JSON. */
  readonly json: Json;
}

export interface Client {
  readonly engine: Engine;
  /** Stack folder of the tests: empty. */
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  mendflow(...argv: string[]): Promise<Ran>;
  close(): Promise<void>;
}

export const projectFolder = join(import.meta.dirname, '..', 'client', 'project');

export async function openClient(): Promise<Client> {
  const engine = await openEngine((stage) => [
    serve(copy, { fetch: stage('fetch'), load: stage('load') }),
    serve(loud, { fetch: stage('fetch'), load: stage('load') }),
  ]);
  return { engine, ...commandLineOf(engine, projectFolder) };
}

/** The command line in a project's folder, on this engine. Its close() closes the engine, too. */
export function commandLineOf(engine: Engine, cwd: string): Omit<Client, 'engine'> {
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-client-'));
  const env = {
    DATABASE_URL: String(engine.pool.options.connectionString),
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    MENDFLOW_PREFIX: engine.prefix,
    MENDFLOW_DIR: dir,
    MENDFLOW_ACTOR: 'anna',
  };
  const before = { ...process.env };
  Object.assign(process.env, env);
  return {
    dir,
    env,
    mendflow: (...argv) => mendflow(argv, cwd),
    close: async () => {
      for (const name of Object.keys(env))
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      rmSync(dir, { recursive: true, force: true });
      await engine.close();
    },
  };
}

/** `more`: for a person at a terminal. */
export async function mendflow(
  argv: readonly string[],
  cwd: string,
  more: { readonly isTTY?: boolean; readonly input?: Surroundings['input']; readonly signal?: AbortSignal } = {},
): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await runCommandLine(argv, {
    cwd,
    out: { write: (text) => void (out += text), isTTY: more.isTTY === true },
    err: { write: (text) => void (err += text) },
    ...(more.input === undefined ? {} : { input: more.input }),
    signal: more.signal ?? new AbortController().signal,
  });
  return { code, out, err, json: () => JSON.parse(out) as never };
}
