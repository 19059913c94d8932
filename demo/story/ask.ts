// What lives here: the second scene: a folder that is not there, a run that asks, a person who answers.
// Invariant: the question is the run's own, and the answer is a command that anybody could type.
// Apart because asking is the other half of healing.
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
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

export interface Asked {
  readonly run: string;
}

export async function askForTheFolder(
  at: At & { readonly files: string; readonly given: readonly string[] },
): Promise<Asked> {
  const folder = join(at.files, 'not-there-yet');
  const { file, format, whose } = realLog(at.given) ?? madeLog(at.files);
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

/** A log of this machine in a format that is known here, or one that was named on the command line. */
function realLog(given: readonly string[]): { file: string; format: FormatName; whose: string } | undefined {
  const inVarLog = (): string[] => {
    try {
      return readdirSync('/var/log', { recursive: true, withFileTypes: true }).flatMap((entry) =>
        entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
      );
    } catch {
      return []; // Not readable or not there: the story brings a log of its own.
    }
  };
  for (const file of [...given, ...inVarLog().slice(0, 500)]) {
    const format = formatOf(file);
    if (format) return { file, format, whose: `${file} (${statSync(file).size} bytes, format ${format})` };
  }
  return undefined;
}

function formatOf(file: string): FormatName | undefined {
  try {
    if (!existsSync(file) || statSync(file).size === 0 || statSync(file).size > 64 << 20) return undefined;
    const first = beginning(file);
    return (Object.keys(heads) as FormatName[]).find((name) => heads[name].test(first));
  } catch {
    return undefined; // A log that this user may not read is not one for the story.
  }
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

function madeLog(files: string): { file: string; format: FormatName; whose: string } {
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
