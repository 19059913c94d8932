// What lives here: stages for what people already have: a command, an SQL file.
// Invariant: bounded in time by the stage's policy, ended on cancellation, and their output never enters history beyond a short count.
// Apart because they are stages like a user's own; the engine knows nothing of them.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { classify } from '../../model/classify.ts';
import { CodedError, codes } from '../../model/failure.ts';
import { lineAt, sqlTextOf } from '../../model/sql-text.ts';
import { inTransaction, withClient } from '../../store/db.ts';
import { stage } from './context.ts';

export interface CommandOptions {
  /** Program and arguments; no shell. `{dataDate}` and `{runKey}` are replaced. */
  readonly run: readonly [string, ...string[]];
  /** Exit codes that mean "try again", such as 75. All others but 0 ask. Default none. */
  readonly exitCodes?: { readonly again: readonly number[] };
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CommandResult {
  readonly exitCode: 0;
  readonly stdoutBytes: number;
}

/** A program as a stage. It sees MENDFLOW_RUN, MENDFLOW_DATA_DATE and MENDFLOW_IDEMPOTENCY_KEY; what it prints goes to the worker's output. */
export function command(options: CommandOptions): () => Promise<CommandResult> {
  return async () => {
    const at = stage();
    const fill = (part: string): string => part.replaceAll('{dataDate}', at.dataDate).replaceAll('{runKey}', at.runKey);
    const [program, ...args] = options.run.map(fill) as [string, ...string[]];
    const child = spawn(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: {
        ...options.env,
        PATH: options.env?.['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
        MENDFLOW_RUN: at.runKey,
        MENDFLOW_DATA_DATE: at.dataDate,
        MENDFLOW_IDEMPOTENCY_KEY: at.idempotencyKey,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
      // A process group of its own, so that children of the command end with it.
      detached: true,
    });
    let stdoutBytes = 0;
    child.stdout.on('data', (part: Buffer) => {
      stdoutBytes += part.length;
    });
    const end = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    at.signal.addEventListener('abort', end, { once: true });
    try {
      const exitCode = await new Promise<number | null>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', resolve);
      });
      if (exitCode === 0) return { exitCode, stdoutBytes };
      const again = exitCode !== null && options.exitCodes?.again.includes(exitCode) === true;
      throw new CodedError(
        again ? 'command_again' : 'command_failed',
        exitCode === null
          ? `${program} was ended by a signal.`
          : `${program} ended with exit code ${exitCode}.${again ? '' : ' Its output is in the log of the worker.'}`,
      );
    } catch (error) {
      if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES'))
        throw new CodedError(
          'command_missing',
          `${program} cannot be run (${error.code}). Install it on the machines of the workers, or correct the path.`,
          { cause: error },
        );
      throw error;
    } finally {
      at.signal.removeEventListener('abort', end);
    }
  };
}

/** An SQL file as a stage, in one transaction. `:'data_date'` and `:'run_key'` are replaced by quoted literals. */
export function sql(file: URL | string, pool: Pool): () => Promise<{ readonly rows: number }> {
  return async () => {
    const at = stage();
    const written = await readFile(file, 'utf8');
    const text = written.replaceAll(":'data_date'", literal(at.dataDate)).replaceAll(":'run_key'", literal(at.runKey));
    return await withClient(pool, async (client) => {
      let transaction = '';
      let rows = 0;
      const work = async (): Promise<void> => {
        const { rows: started } = await client.query<{ id: string }>('select pg_current_xact_id()::text as id');
        transaction = started[0]!.id;
        rows = [await client.query(text)].flat().reduce((sum, one) => sum + (one.rowCount ?? 0), 0);
      };
      try {
        await inTransaction(client, work);
      } catch (error) {
        if (!isCommitUnknown(error)) throw wrongAt(error, { file, text });
        const status = await settled(pool, transaction);
        if (status === 'aborted')
          throw new CodedError(
            'pg_commit_unknown',
            'The commit was lost, and the database says that nothing of it is there.',
            {
              cause: error,
              commit: 'rolled-back',
            },
          );
        if (status !== 'committed') throw error;
      }
      return { rows };
    });
  };
}

/** What the database refuses of a file is told with the file and the line, and by its own words where they name only what the file names. */
function wrongAt(error: unknown, { file, text }: { readonly file: URL | string; readonly text: string }): unknown {
  const { code, position, severity } = error as { code?: unknown; position?: unknown; severity?: unknown };
  const named = classify(error);
  // Only the server has a severity; and what time heals is nobody's mistake.
  if (
    typeof code !== 'string' ||
    typeof severity !== 'string' ||
    !['permanent', 'data', 'unknown'].includes(named.class)
  )
    return error;
  const path = relative(process.cwd(), typeof file === 'string' ? file : fileURLToPath(file));
  const said = sqlTextOf(error, text)?.text;
  const at = Number(position) > 0 ? `${path}:${lineAt(text, Number(position))}` : path;
  const says = `${codes[named.code].says.replace(/\.$/, '')}${said ? `: ${said}` : ''} (SQLSTATE ${code}), at ${at}. The transaction was undone.`;
  return new CodedError(named.code, says, { cause: error, commit: named.commit });
}

const isCommitUnknown = (error: unknown): boolean =>
  error instanceof CodedError && error.failure.code === 'pg_commit_unknown';

const SETTLE_TRIES = 20;
const SETTLE_MS = 500;

/** The answer to COMMIT got lost: the database knows what became of it, as soon as it can be asked. Otherwise the next attempt would do it again. */
async function settled(pool: Pool, transaction: string): Promise<'committed' | 'aborted' | undefined> {
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    const status = await pool
      .query<{ status: string | null }>('select pg_xact_status($1::xid8) as status', [transaction])
      .then(({ rows }) => rows[0]!.status)
      .catch(() => 'unknown');
    if (status === 'committed' || status === 'aborted') return status;
    await sleep(SETTLE_MS);
  }
  return undefined;
}

const literal = (value: string): string => `'${value.replaceAll("'", "''")}'`;
