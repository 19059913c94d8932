// What lives here: what a command needs to begin: configuration, project, control store, Temporal; each opened when first asked for, and closed.
// Invariant: commands that only read the store never wait for Temporal; what was opened is closed, whatever happens.
// Apart because every command begins and ends the same way.
import { dirname } from 'node:path';
import { type Config, inheritedEnvironment, readConfig } from '../../config.ts';
import {
  type Connected,
  connectClient,
  findDatabase,
  findTemporal,
  loadDeclared,
  loadProject,
  projectFile,
  type Places,
} from '../../connect.ts';
import type { Pool } from 'pg';
import { CodedError } from '../../model/failure.ts';
import { shellWord } from '../../model/shell.ts';
import type { AnySpec } from '../../model/spec.ts';
import { underWay } from '../../stack/index.ts';
import { openPool } from '../../store/db.ts';
import { checkSchema } from '../../store/schema.ts';
import { CommandError, type Exit } from './exit-codes.ts';
import { openTerminal, type Stream, type Terminal } from './terminal.ts';

/** What the process (or a test) gives a command. */
export interface Surroundings {
  /** The folder whose mendflow.config.ts counts. */
  readonly cwd: string;
  readonly out: Stream;
  readonly err: Stream;
  /** Where a person answers a question. Default: the process's own. */
  readonly input?: Input;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
  /** How commands are written in what is printed: `npx mendflow` where that is how this one was called. Default `mendflow`. */
  readonly called?: string;
}

/** A stream to read answers from; only a terminal has a person behind it. */
export type Input = NodeJS.ReadableStream & { readonly isTTY?: boolean };

export interface Session {
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly input: Input;
  readonly terminal: Terminal;
  readonly config: Config;
  environment(): Record<string, string>;
  /** What the project declares: pipelines and upstreams. */
  declared(): ReturnType<typeof loadDeclared>;
  /** The same with the code of its stages. */
  project(): ReturnType<typeof loadProject>;
  /** The pipeline of this name; throws `notFound` naming those there are. */
  spec(name: string): Promise<AnySpec>;
  /** Address of the control store, whatever Temporal does. */
  databaseUrl(): Promise<string>;
  /** Where Temporal is, whatever Postgres does. */
  temporal(): ReturnType<typeof findTemporal>;
  /** The control store, checked to have the schema of this release. */
  store(): Promise<Pool>;
  /** Temporal and the control store. */
  connected(): Promise<Connected>;
  /** Web UI page of a run; undefined where no Web UI is known. */
  link(workflowId: string): Promise<string | undefined>;
}

/** Does the work of a command and closes what it opened. */
export async function withSession(at: Surroundings, work: (session: Session) => Promise<Exit>): Promise<Exit> {
  const config = readConfig();
  const closers: (() => Promise<unknown>)[] = [];
  const declared = once(() => loadDeclared(at.cwd, config));
  const project = once(() => loadProject(at.cwd));
  const ready = <T>(make: () => Promise<T>): (() => Promise<T>) => once(() => orNotYet(config, make));
  const databaseUrl = ready(() => findDatabase(config));
  const temporal = ready(() => findTemporal(config));
  const store = ready(async () => {
    // Reading the store needs no Temporal server at all.
    const pool = openPool({ url: await databaseUrl(), applicationName: 'mendflow-client' });
    closers.push(() => pool.end());
    await checked(pool, config);
    return pool;
  });
  const connected = once(async () => {
    const given = await declared();
    return await orNotYet(config, async () => {
      const opened = await connectClient(config, given);
      closers.push(() => opened.close());
      await checked(opened.control, config);
      return opened;
    });
  });
  try {
    return await work({
      ...at,
      input: at.input ?? process.stdin,
      terminal: openTerminal(at.out, at.err, at.called),
      config,
      environment: inheritedEnvironment,
      declared,
      project,
      spec: async (name) => specOf((await declared()).registry.specs, name, at.cwd),
      databaseUrl,
      temporal,
      store,
      connected,
      link: async (workflowId) => {
        const found = await temporal().catch(() => undefined);
        return found?.uiUrl === undefined ? undefined : linkOf(found, workflowId);
      },
    });
  } finally {
    await Promise.allSettled(closers.map((close) => close()));
  }
}

/** The Web UI takes the latest execution if no run ID is named. */
const linkOf = (places: Pick<Places, 'temporal' | 'uiUrl'>, workflowId: string): string =>
  `${String(places.uiUrl).replace(/\/$/, '')}/namespaces/${encodeURIComponent(places.temporal.namespace)}/workflows/${encodeURIComponent(workflowId)}`;

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** What is missing while the stack is being brought up needs nobody: to start or migrate it then would be wrong advice. */
async function orNotYet<T>(config: Config, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    const now = error instanceof CodedError ? underWay(config.dir) : undefined;
    if (now === undefined) throw error;
    throw new CodedError((error as CodedError).failure.code, `${now} Nothing was changed. Try again in a moment.`, {
      cause: error,
    });
  }
}

/** A database that does not answer is told apart from one that lacks the tables. */
async function checked(pool: Pool, config: Config): Promise<void> {
  try {
    await checkSchema(pool);
  } catch (error) {
    if (error instanceof CodedError) throw error;
    const { classify } = await import('../../model/classify.ts');
    const { text, code } = classify(error);
    throw new CodedError(
      code,
      `The database does not answer: ${text} Nothing was changed. ${config.databaseUrl === undefined ? 'Bring it back with `mendflow stack up`' : 'Check DATABASE_URL'}; \`mendflow doctor\` says more.`,
      { cause: error },
    );
  }
}

function specOf(specs: readonly AnySpec[], name: string, folder: string): AnySpec {
  const found = specs.find((spec) => spec.name === name);
  if (found) return found;
  const names = specs.map((spec) => spec.name).join(', ');
  throw new CommandError(
    'notFound',
    projectFile(folder) === undefined
      ? `There is no mendflow.config.ts in ${folder}, so only the pipelines of this package are known here: ${names}. Nothing was changed. ${wayTo(folder, name)}`
      : `This project has no pipeline "${name}". It has: ${names}. Nothing was changed. See \`mendflow pipelines\`.`,
  );
}

/** A command is called in the folder of a project, and people also stand below it. */
function wayTo(folder: string, name: string): string {
  for (let above = dirname(folder); ; above = dirname(above)) {
    if (projectFile(above) !== undefined)
      return `The project of this folder is above it. Call it there: cd ${shellWord(above)}`;
    if (above === dirname(above)) return `Go to the folder of the project that has "${name}", and call it there.`;
  }
}
