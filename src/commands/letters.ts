// What lives here: `mendflow letters`.
// Invariant: a list shows nothing that came from a record; `show` does, says so, and sends no byte of it raw to a terminal.
// Apart as every command: arguments, one call, output.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { letterKeyOf } from '../connect.ts';
import { type LetterLine, listLetters, type OpenedLetter, showLetter } from '../store/letters.ts';
import { createSealer } from '../store/seal.ts';
import { CommandError, type Exit } from './support/exit-codes.ts';
import { theRun } from './support/find-run.ts';
import { LETTERS_LISTED, readLimit } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { counted, escaped, escapedBytes, moment } from './support/terminal.ts';

interface ListOptions {
  readonly run?: string;
  readonly pipeline?: string;
  readonly state?: string;
  readonly limit: string;
  readonly json?: boolean;
}

const states = ['open', 'redriving', 'resolved', 'discarded', 'expired', 'superseded'];

export const registerLetters: Register = (program, act) => {
  const letters = program
    .command('letters')
    .summary('dead letters: records that could not be loaded')
    .helpCommand(false);
  letters
    .command('list')
    .summary('list dead letters, without anything that came from a record')
    .option('--run <run>', 'only of this run')
    .option('--pipeline <name>', 'only of this pipeline')
    .option('--state <state>', `only in this state: ${states.join(', ')}`)
    .option('--limit <number>', 'at most so many', String(LETTERS_LISTED))
    .option('--json', 'print JSON')
    .action(act((session, options: ListOptions) => list(session, options)));
  letters
    .command('show')
    .summary('open a letter: the bytes of the record and all that is wrong with it')
    .argument('<id>', 'the letter, or at least the first 8 characters of its ID')
    .option('--json', 'print JSON')
    .action(act((session, id: string, options: { json?: boolean }) => show(session, id, options.json === true)));
};

async function list(session: Session, { run, pipeline, state, limit, json }: ListOptions): Promise<Exit> {
  if (state !== undefined && !states.includes(state))
    throw new CommandError('usage', `There is no state "${state}" of letters; there is ${states.join(', ')}.`);
  const store = await session.store();
  const runKey = run === undefined ? undefined : (await theRun(session, store, run)).run;
  const limitMax = readLimit(limit);
  const found = await listLetters(store, {
    ...(runKey === undefined ? {} : { runKey }),
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(state === undefined ? {} : { state }),
    limit: limitMax + 1,
  });
  const rows = found.slice(0, limitMax);
  const { terminal } = session;
  if (json === true) {
    terminal.json(rows);
    return 'ok';
  }
  if (rows.length === 0) {
    terminal.note('No letters fit: no record was quarantined.');
    return 'ok';
  }
  terminal.table(
    ['LETTER', 'STATE', 'CODE', 'SOURCE', 'LINE', 'OFFSET', 'BYTES', 'RUN'],
    rows.map((one) => [
      one.id.slice(0, 13),
      one.sample ? `${one.state} (sample)` : one.state,
      escaped(one.code),
      escaped(one.source),
      one.line === null ? '' : String(one.line),
      String(one.offset),
      counted(one.length),
      escaped(one.runKey),
    ]),
  );
  if (found.length > limitMax) terminal.note(`Only the first ${rows.length} are shown; --limit shows more.`);
  terminal.note(`What is wrong with one, and its bytes: mendflow letters show ${rows[0]!.id.slice(0, 13)}`);
  return 'ok';
}

async function show(session: Session, id: string, json: boolean): Promise<Exit> {
  const { config, terminal } = session;
  if (id.length < 8)
    throw new CommandError(
      'usage',
      `"${id}" is too short for a letter; write at least 8 characters of its ID, as \`mendflow letters list\` shows it.`,
    );
  // A reader must not make a key: it would open nothing, and the worker would then seal with it.
  if (!config.sealKey && !existsSync(join(config.dir, 'seal.key')))
    throw new CommandError(
      'usage',
      `Letters are sealed, and there is no key here: neither MENDFLOW_SEAL_KEY is set nor is there ${join(config.dir, 'seal.key')}. The letter is unchanged. Set MENDFLOW_SEAL_KEY, or MENDFLOW_DIR to the folder of the workers.`,
    );
  const letter = await showLetter(await session.store(), id, createSealer([letterKeyOf(config)]));
  if (!letter) throw new CommandError('notFound', `There is no letter "${id}". See \`mendflow letters list\`.`);
  terminal.note(
    'What follows are values of a record: they may be personal or secret. Do not paste them where the record may not go.',
  );
  if (json) terminal.json(publicLetter(letter));
  else write(session, letter);
  return 'ok';
}

/** Bytes that are no UTF-8 exist only in base64: JSON has no other way to keep them whole. */
function publicLetter({ raw, ...letter }: OpenedLetter): LetterLine & { raw: string | null; rawBase64: string } {
  const text = raw.toString('utf8');
  return { ...letter, raw: Buffer.from(text).equals(raw) ? text : null, rawBase64: raw.toString('base64') };
}

/** When the record was found bad first, and when last: what is wrong with it is as it was found last. */
const foundLine = ({ at, lastAt }: LetterLine): string =>
  lastAt === null ? moment(at) : `${moment(at)} first, ${moment(lastAt)} last`;

function write({ terminal }: Session, letter: OpenedLetter): void {
  const at = `${letter.line === null ? '' : `line ${letter.line}, `}offset ${letter.offset}, ${counted(letter.length)} bytes`;
  terminal.line(
    `${terminal.style('bold', letter.id)} ${escaped(letter.code)}, ${letter.state}${letter.sample ? ' (sample: kept when its stage stopped; no figure of records counts it)' : ''}`,
  );
  terminal.line(`  run      ${escaped(letter.runKey)}, stage ${escaped(letter.stage)}, found ${foundLine(letter)}`);
  terminal.line(`  source   ${escaped(letter.source)}, ${at}`);
  if (letter.seen !== null && letter.seen !== letter.source) terminal.line(`  seen     ${escaped(letter.seen)}`);
  if (letter.reason !== null) terminal.line(`  ${letter.state.padEnd(8)} ${escaped(letter.reason)}`);
  terminal.line(`  sha256   ${letter.rawSha256}`);
  for (const one of letter.violations)
    terminal.line(
      `  ${terminal.style('red', 'wrong')}    ${escaped([one.field, one.code].filter(Boolean).join(' '))}: ${escaped(one.message)}`,
    );
  terminal.line();
  terminal.line(escapedBytes(letter.raw));
  if (!letter.rawWhole)
    terminal.note(`Only the first ${counted(letter.raw.byteLength)} bytes are kept; the hash is over all of them.`);
}
