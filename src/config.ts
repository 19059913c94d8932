// What lives here: the environment, read once, as a frozen value.
// Invariant: the only reader of process.env; every bad variable is reported at once, and no value of a secret is ever printed.
// Apart so that nothing else in the house depends on where it runs.
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { secretsFrom } from './connectors/secret.ts';
import { CodedError } from './model/failure.ts';

export interface Config {
  /** Folder of the stack: database, server, logs, keys. MENDFLOW_DIR, default `.mendflow` in the current folder. */
  readonly dir: string;
  /** DATABASE_URL: control and sink store. Undefined: the stack's own Postgres. */
  readonly databaseUrl: string | undefined;
  /** From TEMPORAL_* and the TOML profiles of the `temporal` CLI. Undefined: the stack's own dev server. */
  readonly temporal: ReturnType<typeof loadClientConnectConfig> | undefined;
  /** MENDFLOW_PREFIX: for clusters shared with others. Default empty. */
  readonly prefix: string;
  /** MENDFLOW_SEAL_KEY: 32 bytes in base64 or hex that seal dead letters. Undefined: a key file in the stack folder. */
  readonly sealKey: Buffer | undefined;
  /** MENDFLOW_SLOTS: stages at once in one worker. Default 8. */
  readonly slotsMax: number;
  /** MENDFLOW_SEGMENT_MS: length of a segment of a flow. Default 45,000. */
  readonly segmentMs: number;
  /** MENDFLOW_STUCK_MS: a worker whose own code lets it do nothing else for so long ends itself. Default 30,000. */
  readonly stuckMs: number;
  /** MENDFLOW_LOG: debug, info, warn or error. Default info. */
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** MENDFLOW_FAILPOINTS: for tests, such as `chunk.beforeCommit:kill@3`. Default empty. */
  readonly failpoints: string;
  /** MENDFLOW_STARTED_BY: set by a command that starts a worker: whether it stays with it (`dev`) or waits to be written down by it (`stack`), and its process. */
  readonly startedBy: { readonly what: 'stack' | 'dev'; readonly pid: number } | undefined;
  /** Programs that set-up brought here. MENDFLOW_CACHE, default the package's own `.mendflow/cache` if it is there, else `<dir>/cache`. */
  readonly cacheDir: string;
  /** TEMPORAL_CLI: path of the Temporal CLI. */
  readonly temporalCli: string | undefined;
  /** MENDFLOW_MAIN_API: base URL of the earthquake service that daily-report reads. Without it nobody is called. */
  readonly mainApi: string | undefined;
  /** MENDFLOW_REPORTS: folder for the pages of daily-report. Default `<dir>/reports`. */
  readonly reportsDir: string;
  /** Who decides, for the ledger: MENDFLOW_ACTOR, else the login name. */
  readonly actor: string;
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** Reads the environment. Throws `config_invalid` naming every variable that is wrong. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const faults: string[] = [];
  const given = (name: string): string | undefined =>
    env[name] === undefined || env[name] === '' ? undefined : env[name];
  const whole = (name: string, fallback: number, min: number): number => {
    const value = given(name);
    if (value === undefined) return fallback;
    if (/^\d+$/.test(value) && Number(value) >= min) return Number(value);
    faults.push(`${name} has to be a whole number of at least ${min}, and is "${value}".`);
    return fallback;
  };
  const databaseUrl = given('DATABASE_URL');
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl))
    faults.push('DATABASE_URL has to begin with postgres:// or postgresql://.');
  const prefix = given('MENDFLOW_PREFIX') ?? '';
  if (!/^[a-z0-9-]{0,40}$/.test(prefix))
    faults.push(`MENDFLOW_PREFIX may hold lower-case letters, digits and "-", and is "${prefix}".`);
  const logLevel = LOG_LEVELS.find((level) => level === (given('MENDFLOW_LOG') ?? 'info'));
  if (!logLevel)
    faults.push(`MENDFLOW_LOG has to be one of ${LOG_LEVELS.join(', ')}, and is "${String(given('MENDFLOW_LOG'))}".`);
  const mainApi = given('MENDFLOW_MAIN_API');
  if (mainApi !== undefined && (!/^https?:\/\/[^/]/.test(mainApi) || !URL.canParse(mainApi)))
    faults.push('MENDFLOW_MAIN_API has to be an address that begins with http:// or https://.');
  const dir = resolve(given('MENDFLOW_DIR') ?? '.mendflow');
  const ownCache = fileURLToPath(new URL('../.mendflow/cache', import.meta.url));
  const config: Config = {
    dir,
    cacheDir: resolve(given('MENDFLOW_CACHE') ?? (existsSync(ownCache) ? ownCache : join(dir, 'cache'))),
    databaseUrl,
    temporal: temporalOf(given, faults),
    prefix,
    sealKey: sealKeyOf(given('MENDFLOW_SEAL_KEY'), faults),
    slotsMax: whole('MENDFLOW_SLOTS', 8, 1),
    segmentMs: whole('MENDFLOW_SEGMENT_MS', 45_000, 100),
    stuckMs: whole('MENDFLOW_STUCK_MS', 30_000, 1_000),
    logLevel: logLevel ?? 'info',
    failpoints: given('MENDFLOW_FAILPOINTS') ?? '',
    temporalCli: given('TEMPORAL_CLI'),
    startedBy: starterOf(given('MENDFLOW_STARTED_BY')),
    mainApi,
    reportsDir: resolve(given('MENDFLOW_REPORTS') ?? join(dir, 'reports')),
    actor: given('MENDFLOW_ACTOR') ?? given('USER') ?? given('LOGNAME') ?? loginName(),
  };
  if (faults.length > 0)
    throw new CodedError(
      'config_invalid',
      `The environment is not valid; nothing was started.\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
  return Object.freeze(config);
}

/** The value of a secret by its name, looked up at each call: a credential that is renewed in its file counts from the next call on. */
export const readSecret = secretsFrom(process.env);

/** Threads that look up names and read files. Four hung name servers would otherwise stop every other upstream too. */
export const THREADS = 64;

/** Node has made its threads before it runs a module, so what is set from inside comes too late; it has to be in the environment. */
export const threadsAreFew = (env: Readonly<Record<string, string | undefined>> = process.env): boolean =>
  !(Number(env['UV_THREADPOOL_SIZE']) >= THREADS);

/** The environment as it was given, for processes that are started to live in it: workers of the stack. */
export const inheritedEnvironment = (
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> =>
  Object.fromEntries(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

const starterOf = (value: string | undefined): Config['startedBy'] => {
  const [, what, pid] = /^(stack|dev):(\d+)$/.exec(value ?? '') ?? [];
  return what === undefined ? undefined : { what: what as 'stack' | 'dev', pid: Number(pid) };
};

/** How this program was called: npm and npx have it on their own path only, so what they ran cannot be typed without them. */
export const calledAs = (env: Readonly<Record<string, string | undefined>> = process.env): string =>
  env['npm_command'] === undefined ? 'mendflow' : 'npx mendflow';

/** The name behind the process's user; containers sometimes have none. */
function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'unknown';
  }
}

function temporalOf(given: (name: string) => string | undefined, faults: string[]): Config['temporal'] {
  const named = ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'].some(
    (name) => given(name) !== undefined,
  );
  if (!named) return undefined;
  try {
    return loadClientConnectConfig();
  } catch (error) {
    faults.push(
      `The TEMPORAL_* variables or the profile cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
    return undefined;
  }
}

function sealKeyOf(value: string | undefined, faults: string[]): Buffer | undefined {
  if (value === undefined) return undefined;
  const key = /^[0-9a-f]{64}$/i.test(value) ? Buffer.from(value, 'hex') : Buffer.from(value, 'base64');
  if (key.length === 32) return key;
  faults.push(`MENDFLOW_SEAL_KEY has to be 32 bytes in base64 or hex, and has ${key.length}.`);
  return undefined;
}
