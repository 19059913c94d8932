// What is promised here: the documents are true: commands and options exist, links resolve, examples are the files they are taken from,
// every failure has its runbook, and every source file says what it is.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/commands/support/exit-codes.ts';
import { packageOf, projectFiles } from '../../src/commands/templates/project.ts';
import { searchAttributes } from '../../src/engine/search-attributes.ts';
import { codes } from '../../src/model/failure.ts';
import { faultsOf, helpOf } from '../support/command-lines.ts';

const repository = join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(join(repository, file), 'utf8');
const filesBelow = (folder: string): string[] =>
  readdirSync(join(repository, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(repository, join(entry.parentPath, entry.name)));

const runbooks = filesBelow('ops/runbooks');
const examples = filesBelow('examples').filter((file) => file.endsWith('.md'));
const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...runbooks, ...examples];

const blocksOf = (text: string, ...languages: readonly string[]): string[] =>
  [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, language]) => languages.includes(language!))
    .map(([, , body]) => body!);
const linesOf = (text: string): string[] => blocksOf(text, 'sh').flatMap((body) => body.split('\n'));
const mentions = (text: string): string[] =>
  [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);

describe('the command line', () => {
  it('can be asked what it takes', async () => {
    const start = await helpOf('start');
    expect(start).toMatchObject({ required: ['<pipeline>'], most: 1 });
    expect([...start!.valued]).toEqual(expect.arrayContaining(['--date', '--set']));
    expect([...start!.plain]).toEqual(expect.arrayContaining(['--wait', '--force', '--json']));
    expect((await helpOf('letters'))!.subcommands).toEqual(expect.arrayContaining(['list', 'show']));
  });

  it.each([
    ['strat log-ingest', 'no command "strat"'],
    ['start log-ingest --wiat', 'no option --wiat'],
    ['start', '<pipeline> is missing'],
    ['letters list some/run', '1 arguments, at most 0 are taken'],
    ['retry some/run', 'a decision needs --reason'],
  ])('is not `mendflow %s`', async (line, why) => expect(await faultsOf(line, true)).toContain(why));
});

describe.each(documents)('%s', (file) => {
  const text = read(file);

  it('names commands of mendflow that exist, with their options', async () => {
    const faults: string[] = [];
    const told = [
      ...linesOf(text).map((line) => ({ line, whole: true })),
      ...mentions(text).map((line) => ({ line, whole: false })),
    ];
    for (const { line, whole } of told) {
      const found = /^(?:\w+=\S+ )*(?:npx )?mendflow (?!\.)(.*)$/.exec(line.trim());
      if (!found || line.includes('…')) continue;
      for (const alternative of alternativesOf(found[1]!))
        faults.push(...(await faultsOf(alternative, whole)).map((fault) => `${line}: ${fault}`));
    }
    expect(faults).toEqual([]);
  });

  it('names scripts of npm that exist', () => {
    const own = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts;
    const made = packageOf('x', { mendflow: '', tsx: '', typescript: '', nodeTypes: '' }).scripts;
    for (const line of [...linesOf(text), ...mentions(text)]) {
      const [, script] = /\bnpm (?:run )?([\w:]+)/.exec(line) ?? [];
      if (script === undefined || ['ci', 'install', 'pack'].includes(script)) continue;
      expect(Object.keys({ ...own, ...made }), line).toContain(script);
    }
  });

  it('links to files that are there', () => {
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const path = normalize(join(dirname(file), target!.split('#')[0]!));
      expect(existsSync(join(repository, path)), `${file} links to ${target}`).toBe(true);
    }
  });

  it('names files and symbols of this repository only as they are', () => {
    for (const code of mentions(text)) {
      if (!/^(src|test|scripts|migrations|ops|examples|bench|demo)\/[\w./-]+$/.test(code)) continue;
      const own = existsSync(join(repository, code));
      expect(own || Object.hasOwn(projectFiles('x'), code), `${file} names ${code}`).toBe(true);
    }
  });
});

/** `stack up|down|status` is three commands. */
const alternativesOf = (line: string): string[] => {
  const found = /^(.*?)([\w-]+(?:\|[\w-]+)+)(.*)$/.exec(line);
  return found ? found[2]!.split('|').map((word) => `${found[1]}${word}${found[3]}`) : [line];
};

describe('README', () => {
  const text = read('README.md');

  it('shows code that is really in the project which `mendflow init` makes, or in an example that runs as a test', () => {
    const examples = [
      'upstream/src/upstreams.ts',
      'upstream/src/activities/shop-orders.ts',
      'upstream/src/activities/pages.ts',
      'formats/mendflow.config.ts',
      'prices/src/activities/prices.ts',
      'prices/sql/summary.sql',
    ].map((file) => read(`examples/${file}`));
    const made = [...Object.values(projectFiles('x')), ...examples].join('\n');
    const blocks = blocksOf(text, 'ts', 'sql');
    expect(blocks.length).toBeGreaterThan(2);
    for (const block of blocks) expect(made).toContain(block);
  });

  it('has every variable of the configuration and no other', () => {
    const inCode = new Set(read('src/config.ts').match(/\b(MENDFLOW_[A-Z_]+|DATABASE_URL|TEMPORAL_CLI)\b/g));
    const table = text.slice(text.indexOf('## Configure'), text.indexOf('## Adopt'));
    const inTable = new Set(
      [...table.matchAll(/^\| (`[^|]*)\|/gm)].flatMap(
        ([, cell]) => cell!.match(/\b(MENDFLOW_[A-Z_]+|DATABASE_URL|TEMPORAL_CLI)\b/g) ?? [],
      ),
    );
    expect([...inTable].toSorted()).toEqual([...inCode].toSorted());
  });

  it('has every exit code and every search attribute', () => {
    for (const { number } of Object.values(exitCodes)) expect(text).toMatch(new RegExp(`\\b${number} \\w`));
    for (const name of Object.keys(searchAttributes)) expect(text).toContain(`\`${name}\``);
  });

  it('has only figures of a benchmark that are in the changelog', () => {
    const section = text.slice(text.indexOf('## Benchmark'));
    expect(section).toContain('Figures: see [CHANGELOG]');
    expect(section).not.toMatch(/\d+(\.\d+)?\s*(x|times|MiB|MB|lines\/s)\b/);
  });
});

describe('runbooks', () => {
  const named = new Set(Object.values(codes).map(({ runbook }) => `ops/runbooks/${runbook}.md`));

  it.each(Object.entries(codes))('say what to do about %s, and its class', (code, row) => {
    const text = read(`ops/runbooks/${row.runbook}.md`);
    expect(text).toContain(`| \`${code}\` | ${row.class} | `);
  });

  it('are named by a code or by a pipeline, and name no code that is none', () => {
    expect(runbooks.filter((file) => !named.has(file))).toEqual([
      'ops/runbooks/daily-report.md',
      'ops/runbooks/log-ingest.md',
    ]);
    for (const file of runbooks)
      for (const [, code] of read(file).matchAll(/^\| `(\w+)` \| \w+ \|/gm))
        expect(Object.keys(codes), file).toContain(code);
  });

  it.each(runbooks)(
    '%s says what happens by itself, what became of the data, what to look at and what to do',
    (file) => {
      const text = read(file);
      for (const part of ['does by itself', 'What became of the data', 'What to look at', 'What to do'])
        expect(text).toContain(part);
      expect(linesOf(text).filter((line) => line.startsWith('npx mendflow')).length).toBeGreaterThan(0);
    },
  );
});

describe('ARCHITECTURE', () => {
  it('names symbols that are in the sources', () => {
    const sources = filesBelow('src')
      .filter((file) => file.endsWith('.ts'))
      .map(read)
      .join('\n');
    const symbols = mentions(read('ARCHITECTURE.md')).flatMap(
      (code) => /^([a-z]+[A-Z]\w*|[A-Z]\w+)(\(\))?$/.exec(code)?.[1] ?? [],
    );
    expect(symbols.length).toBeGreaterThan(20);
    for (const symbol of symbols) expect(sources, symbol).toMatch(new RegExp(`\\b${symbol}\\b`));
  });
});

describe('docker-compose.yml', () => {
  const text = read('docker-compose.yml');
  const valuesOf = (key: RegExp): string[] => [...text.matchAll(key)].map(([, value]) => value!);

  it('binds ports to the loopback address only', () => {
    const ports = valuesOf(/^ +ports: \[(.*)\]$/gm);
    expect(ports.length).toBeGreaterThan(2);
    for (const port of ports) expect(port).toMatch(/^'127\.0\.0\.1:\d+:\d+'$/);
    expect(text).not.toContain('0.0.0.0');
  });

  it('pins every image and holds no password', () => {
    const images = valuesOf(/^ +image: (.*)$/gm);
    expect(images.length).toBeGreaterThan(5);
    for (const image of images) expect(image).toMatch(/^(\w[\w/-]+:\d+\.\d+(\.\d+)?|\$\{MENDFLOW_IMAGE:\?.*\})$/);
    expect(text.replaceAll(/\$\$\(cat [^)]*\)/g, '')).not.toMatch(/(PASSWORD|PWD|KEY|password)["']?\s*[:=]\s*["']?\w/);
  });

  it('has the search attributes that workers need', () => {
    for (const name of Object.keys(searchAttributes)) expect(text).toMatch(new RegExp(`\\b${name}:\\w+`));
  });
});

describe('sources', () => {
  const sources = filesBelow('src').filter((file) => file.endsWith('.ts'));

  it('open with a comment that says what they are', () => {
    expect(sources.length).toBeGreaterThan(100);
    for (const file of sources) expect(read(file).replace(/^#!.*\n/, ''), file).toMatch(/^(\/\/|\/\*\*) ?\S.{10,}/);
  });

  it('are short enough to be read', () => {
    for (const file of [...sources, ...filesBelow('test'), ...filesBelow('demo'), ...filesBelow('bench')]) {
      if (!file.endsWith('.ts')) continue;
      expect(read(file).split('\n').length - 1, file).toBeLessThanOrEqual(400);
    }
  });

  it('name next commands that exist', async () => {
    const faults: string[] = [];
    for (const file of sources)
      for (const [index, line] of read(file).split('\n').entries()) {
        if (/^\s*(\/\/|\/?\*)/.test(line)) continue;
        for (const [, rest] of line.matchAll(
          /\bmendflow ((?:start|runs|show|logs|letters|retry|abort|stack|doctor|check|migrate|pipelines|explain|help|init|dev|breakers|upstreams|last-night|views|skip|extend-budget|accept-loss)\b[^`'"\\]*)/g,
        )) {
          const command = commandIn(rest!);
          faults.push(
            ...(await faultsOf(command, false)).map((fault) => `${file}:${index + 1}: mendflow ${command}: ${fault}`),
          );
        }
      }
    expect(faults).toEqual([]);
  });
});

/** The command at the beginning of a sentence: up to a mark, the first end of a clause, or the words that follow. */
const commandIn = (rest: string): string => {
  const words: string[] = [];
  const [command = ''] = rest.replaceAll(/\$\{[^}]*\}/g, 'X').split(/ {2,}/);
  for (const word of command.split(' ')) {
    const ends = /[,;:.)]$/.test(word);
    words.push(word.replace(/[,;:.)]+$/, ''));
    if (ends) break;
  }
  return words.filter((word) => word !== '' && word !== '…').join(' ');
};
