// What lives here: the second scene: a folder that is not there, a run that asks, a person who answers.
// Invariant: the question is the run's own, and the answer is a command that anybody could type.
// Apart because asking is the other half of healing.
import { closeSync, copyFileSync, mkdirSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Pool } from 'pg';
import { generate } from '../../bench/generate.ts';
import { type At, happens, mendflow } from './tell.ts';

type FormatName = 'plain' | 'log4j' | 'apache';
const heads: Record<FormatName, RegExp> = {
  plain: /^\d{4}-\d\d-\d\dT\S+ (INFO|WARN|ERROR) \[[^\]]+\] /,
  log4j: /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] [A-Z]+ /,
  apache: /^\S+ \S+ \S+ \[\d\d\/[A-Z][a-z]{2}\/\d{4}:/,
};

/** A copy of it is loaded. */
const SIZE_MAX = 64 << 20;

export interface Asked {
  readonly run: string;
}

export async function askForTheFolder(
  at: At & { readonly files: string; readonly given: RealLog | undefined },
): Promise<Asked> {
  const folder = join(at.files, 'not-there-yet');
  const { file, format, whose } = at.given ?? realLog() ?? madeLog(at.files);
  const start = [
    'start',
    'log-ingest',
    '--date',
    '2026-11-20',
    '--set',
    `path=${folder}`,
    '--set',
    `format=${format}`,
    '--wait',
  ];
  happens('The folder that this run is told to read does not exist:');
  const asked = await mendflow(start, at);
  const run = /log-ingest\/\S*\w/.exec(asked.out)?.[0] ?? '';
  happens(`Exit code ${asked.exitCode}: the run asks. It holds no connection and no slot, and can wait for days.`);
  mkdirSync(folder);
  copyFileSync(file, join(folder, 'first.log'));
  happens(`Somebody puts the folder there, with ${whose}, and says so:`);
  await mendflow(['retry', run, 'list', '--reason', 'the folder is there now'], at);
  await mendflow(start, at);
  await mendflow(['show', run], at);
  return { run };
}

export interface RealLog {
  readonly file: string;
  readonly format: FormatName;
  readonly whose: string;
}

/** The file that was named on the command line. Throws with what is wrong with it, before anything is started. */
export function givenLog(file: string): RealLog {
  const refuse = (why: string): never => {
    throw new Error(`${file} ${why}. Nothing was started. Name another file, or none: npm start`);
  };
  const found = statSync(file, { throwIfNoEntry: false }) ?? refuse('does not exist');
  if (!found.isFile())
    refuse(found.isDirectory() ? 'is a folder, and the story reads one file' : 'is no ordinary file');
  if (found.size === 0) refuse('is empty');
  if (found.size > SIZE_MAX) refuse(`has ${found.size} bytes, and the story reads 64 MiB at most`);
  let first = '';
  try {
    first = beginning(file);
  } catch (error) {
    refuse(`cannot be read (${error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'})`);
  }
  const format =
    formatOf(first) ?? refuse(`is in none of the formats that the story knows: ${Object.keys(heads).join(', ')}`);
  return { file, format, whose: whoseOf(file, format) };
}

const whoseOf = (file: string, format: FormatName): string =>
  `${file} (${statSync(file).size} bytes, format ${format})`;

const formatOf = (first: string): FormatName | undefined =>
  (Object.keys(heads) as FormatName[]).find((name) => heads[name].test(first));

/** A log of this machine in a format that is known here. */
function realLog(): RealLog | undefined {
  const inVarLog = (): string[] => {
    try {
      return readdirSync('/var/log', { recursive: true, withFileTypes: true }).flatMap((entry) =>
        entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
      );
    } catch {
      return []; // Not readable or not there: the story brings a log of its own.
    }
  };
  for (const file of inVarLog().slice(0, 500)) {
    try {
      const { size } = statSync(file);
      const format = size === 0 || size > SIZE_MAX ? undefined : formatOf(beginning(file));
      if (format) return { file, format, whose: whoseOf(file, format) };
    } catch {
      continue; // A log that this user may not read is not one for the story.
    }
  }
  return undefined;
}

/** A few lines are enough to know a format; a log may be large. */
function beginning(file: string): string {
  const fd = openSync(file, 'r');
  try {
    const block = Buffer.alloc(4_096);
    return block.toString('latin1', 0, readSync(fd, block));
  } finally {
    closeSync(fd);
  }
}

function madeLog(files: string): RealLog {
  const file = join(files, 'access.log');
  generate({
    format: 'apache',
    lines: 5_000,
    raw: file,
    clean: join(files, 'access.expected'),
    dataDate: '2026-11-20',
    seed: 7,
  });
  return {
    file,
    format: 'apache',
    whose:
      'an access log made for the story (no log on this machine is in a format it knows; give one: npm start -- FILE)',
  };
}

export async function countAsked(pool: Pool, { run }: Asked): Promise<[string, string, string][]> {
  const { rows } = await pool.query<{ read: number; loaded: number; quarantined: number; decisions: string }>(
    `select coalesce(sum(read), 0)::int as read, coalesce(sum(loaded), 0)::int as loaded, coalesce(sum(quarantined), 0)::int as quarantined,
       (select string_agg(actor || ': ' || reason, '; ') from mendflow.decision where run_key = $1 and taken) as decisions
     from mendflow.chunk where run_key = $1`,
    [run],
  );
  const { read, loaded, quarantined, decisions } = rows[0]!;
  return [
    [
      'records read after the decision',
      String(read),
      `${read === loaded + quarantined ? '✔' : '✖'} ${loaded} loaded, ${quarantined} quarantined`,
    ],
    ['decision', '1', `✔ ${decisions}`],
  ];
}
