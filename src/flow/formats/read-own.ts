// What lives here: a project's own line formats, from what was declared to what reads lines.
// Invariant: all faults of all formats are told at once, before anything starts; what leaves here can be read.
// Apart because only a project that declares formats pays for it.
import { CodedError } from '../../model/failure.ts';
import type { Format, PatternFormat } from '../parse/format.ts';
import { faultsOfTime } from '../parse/time-pattern.ts';
import { zoneSeconds } from '../parse/time.ts';
import { accessPattern } from './access-string.ts';
import { formats } from './index.ts';
import type { OwnFormats, OwnOptions } from './own.ts';
import { patternTest } from './pattern.ts';
import { severityWords } from './severities.ts';

/** A configuration is read without being type-checked, so what came may be anything. */
type Given = Partial<Record<keyof OwnOptions | 'pattern' | 'access', unknown>>;

const known = ['pattern', 'access', 'time', 'zone', 'severities', 'severity', 'module', 'continued'];
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function faultsOfOptions(given: Given): string[] {
  const faults: string[] = [];
  const { zone, severities = {}, severity, module, continued = 'none' } = given;
  for (const name of Object.keys(given))
    if (!known.includes(name)) faults.push(`there is no "${name}" in a format; there is ${known.join(', ')}`);
  for (const time of timesOf(given))
    if (typeof time !== 'string')
      faults.push('its time is to be a text such as "%Y-%m-%d %H:%M:%S", or a list of them');
    else for (const fault of faultsOfTime(time)) faults.push(`its time pattern "${time}": ${fault}`);
  if (zone !== undefined && !isZone(zone)) faults.push(`its zone ${shown(zone)} is neither "Z" nor such as "+02:00"`);
  const words: readonly string[] = severityWords;
  const none = (word: unknown): boolean => typeof word !== 'string' || !words.includes(word);
  if (!isObject(severities)) faults.push("its severities are to be such as { W: 'WARN' }");
  else
    for (const [written, word] of Object.entries(severities))
      if (none(word))
        faults.push(`it stores the severity "${written}" as ${shown(word)}, which is none of ${words.join(', ')}`);
  if (severity !== undefined && none(severity))
    faults.push(`its severity ${shown(severity)} is none of ${words.join(', ')}`);
  if (module !== undefined && (typeof module !== 'string' || module === '' || module.includes('\0')))
    faults.push('its module is to be a text that is not empty');
  if (!['all', 'trace', 'none'].includes(continued as string))
    faults.push(`its continued ${shown(continued)} is none of "all", "trace" and "none"`);
  return faults;
}

const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);
const timesOf = ({ time }: Given): readonly unknown[] =>
  time === undefined ? [] : Array.isArray(time) ? time : [time];

function isZone(zone: unknown): boolean {
  try {
    return typeof zone === 'string' && Number.isFinite(zoneSeconds(zone));
  } catch {
    return false;
  }
}

/** What the shape of the lines tells: the pattern, and what comes with it. */
function shapeOf(given: Given): { shape: Partial<PatternFormat>; faults: readonly string[] } {
  const { pattern, access } = given;
  if ((pattern === undefined) === (access === undefined))
    return { shape: {}, faults: ['it is to be made by pattern({ pattern: … }) or by accessFormat(…)'] };
  if (pattern !== undefined)
    return typeof pattern === 'string'
      ? { shape: { pattern }, faults: [] }
      : { shape: {}, faults: ['its pattern is to be a text, which RE2 reads; String.raw`…` keeps its backslashes'] };
  if (typeof access !== 'string') return { shape: {}, faults: ['its format string is to be a text'] };
  const { pattern: text, times, numbers, message, hasStatus, faults } = accessPattern(access);
  const shape = {
    pattern: text,
    numbers,
    ...(times.length === 0 ? {} : { times }),
    ...(message.length === 0 ? { words: ['method', 'path', 'protocol'] } : { messageOf: message }),
    ...(hasStatus ? { severityOf: { group: 'status', byFirstDigit: formats.apache.severityOf!.byFirstDigit } } : {}),
    moduleDefault: 'access',
  };
  return {
    shape,
    faults: [...faults, ...times.flatMap((time) => faultsOfTime(time).map((fault) => `its time "${time}": ${fault}`))],
  };
}

function readOne(name: string, given: Given): PatternFormat | readonly string[] {
  const { shape, faults: wrong } = shapeOf(given);
  const faults = [...wrong, ...faultsOfOptions(given)];
  const { zone, severities, severity, module, continued } = given as OwnOptions;
  const times = timesOf(given) as readonly string[];
  const format: PatternFormat = {
    kind: 'pattern',
    name,
    says: 'declared in mendflow.config',
    pattern: '',
    moduleDefault: name,
    ...shape,
    ...(times.length === 0 ? {} : { times }),
    ...(zone === undefined ? {} : { zone }),
    ...(severities === undefined ? {} : { stored: severities }),
    ...(severity === undefined ? {} : { severityDefault: severity }),
    ...(module === undefined ? {} : { moduleDefault: module }),
    ...(continued === 'all' ? { continued: 'any' as const } : continued === 'trace' ? { continued } : {}),
  };
  if (wrong.length > 0) return faults;
  try {
    patternTest(format);
  } catch (error) {
    faults.push(
      (error as Error).message
        .replace(/^Format "[^"]*"(?:: | has )/, (all) => (all.endsWith('has ') ? 'it has ' : ''))
        .replace(/\.$/, ''),
    );
  }
  return faults.length > 0 ? faults : format;
}

/** All formats that log-ingest of this project knows: those of the package and its own. Throws `config_invalid` with every fault. */
export function readFormats(own: OwnFormats): Readonly<Record<string, Format>> {
  const all: Record<string, Format> = { ...formats };
  const faults: string[] = [];
  if (!isObject(own)) faults.push('`formats` is to be such as { shop: pattern({ … }) }.');
  for (const [name, given] of Object.entries(isObject(own) ? own : {})) {
    const say = (fault: string): number => faults.push(`Format "${name}": ${fault}.`);
    if (Object.hasOwn(formats, name)) say("this name is one of Mendflow's own; choose another");
    else if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name))
      say('a name has to be lower-case words joined by "-", such as "shop-log"');
    const read = isObject(given)
      ? readOne(name, given)
      : ['it is to be made by pattern({ pattern: … }) or by accessFormat(…)'];
    if ('kind' in read) all[name] = read;
    else for (const fault of read) say(fault);
  }
  if (faults.length > 0)
    throw new CodedError(
      'config_invalid',
      `The line formats of this project are not valid; nothing was started.\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
  return all;
}
