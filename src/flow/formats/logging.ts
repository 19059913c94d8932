// What lives here: the layouts that log4j, logback, Spring Boot, JBoss, Elasticsearch, Spark, Tomcat and java.util.logging are used with.
// Invariant: time and severity have to be there; a logger is taken only where the layout shows that the word is one, else the module is empty.
// Apart because these lines are read as text: Kafka's layout is read byte by byte (log4j.ts), and only what is not such a line comes here.
import { jsonbText } from '../parse/jsonb.ts';
import type { GrammarFormat } from '../parse/format.ts';
import { zoneSeconds } from '../parse/time.ts';
import type { TextRow } from '../parse/tuple.ts';
import type { Violation } from '../types.ts';
import { behindTime, javaSeverities, level, markedLevel, type Other, wholeLine } from './logging-others.ts';
import { severityOfWord } from './severities.ts';
import { instantReader, rowOrViolations, type VariantReader } from './text-row.ts';

const zone = String.raw`(?: ?(?:Z|[+-]\d\d(?::?\d\d)?(?!\d))| (?:UTC|GMT|CES?T|[ECMP][SD]T|EES?T|MSK|JST)(?= |\]))?`;
const fraction = String.raw`(?:[.,:]\d{1,9})?`;
/** ISO8601 and its like, ABSOLUTE, DATE, Tomcat's, Spark's and the American ones, BASIC, COMPACT, UNIX, and that of java.util.logging, whose space is a narrow one since Java 20. */
const stamp = [
  String.raw`\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d${fraction}${zone}`,
  String.raw`\d\d:\d\d:\d\d${fraction}`,
  String.raw`\d{1,2}[ -][A-Z][a-z]{2}[ -]\d{4} \d\d:\d\d:\d\d${fraction}${zone}`,
  String.raw`\d\d/\d\d/(?:\d{4}|\d\d) \d\d:\d\d:\d\d${fraction}`,
  String.raw`\d{8}T\d{6}${fraction}${zone}`,
  String.raw`\d{17}|(?:\d{10}|\d{13})(?= \[)`,
  String.raw`[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d[ \u202f][AP]M`,
].join('|');
const timeFirst = new RegExp(
  String.raw`^(?:\[(?<bracketed>${stamp})\]|(?<stamp>${stamp}))(?<rest>(?=[\s[|:,]).*)$`,
  's',
);
const levelFirst = new RegExp(
  String.raw`^\[?(?<level>${level})\]?\s+(?:\[(?<thread>[^\]]*)\] +)?(?:\[(?<bracketed>${stamp})\]|(?<stamp>${stamp}))(?<rest>\s.*)$`,
  's',
);
/** The time on one line with class and method, the severity and the message on the next. */
const twoLines = new RegExp(String.raw`^\n(?<level>${javaSeverities.join('|')}): ?(?<message>.*)$`, 's');
/** Class and method alone: a line that says more has a severity of its own, whatever its second line begins with. */
const classAndMethod = /^\s+[\w.$]+(?: [\w$<>]+)?$/;

const levelHere = new RegExp(String.raw`^\[?(?<level>${level})\s*\]?(?=[\s:|\][(-]|$)`);
const severityAlone = new RegExp(`^(?:${level})$`);
const springBoot = /^(?<pid>\d+) --- (?<groups>(?:\[[^\]]*\] ?)+)(?<module>\S+)\s*: (?<message>.*)$/s;
const group = /^(?:\[(?<square>[^\]]*)\]|\((?<round>[^()]*(?:\([^()]*\)[^()]*)*)\)|\{(?<curly>[^{}]*)\})/;
const gap = /^(?:\s+|-{1,3}(?= )|\|(?= ))+/;
/** A word that can name a logger, and what may stand between it and the message. */
const logger =
  /^(?<module>[A-Za-z_$][\w$./@#-]*(?:\[\])?)(?<where>(?: ?\([\w$.]+:[\w$<>():]+\)|(?::[\w$<>]+)?:\d+)?)(?<groups>(?: +(?:\[[^\]]*\]|\([^()]*\)|\{[^}]*\}))*)\s*(?<mark>(?: - |: | : | \| |:$| -$))(?<message>.*)$/s;
/** The name of a class needs no mark behind it: `o.a.c.startup.Catalina.start Server startup`. */
const className =
  /^(?<module>(?:[A-Za-z_][\w$]*\.)+[A-Z][\w$]*(?:\.[\w$<>]+)?)(?<groups>(?: +(?:\[[^\]]*\]|\([^()]*\)))*) +(?<message>.*)$/s;

interface Parsed {
  time: string;
  severity?: string;
  module: string;
  message: string;
  attributes: Record<string, string>;
}

const inner = (text: string): string[] =>
  [...text.matchAll(/[[({]([^\])}]*)[\])}]/g)].map(([, found]) => found!.trim());

/** Groups in brackets before the logger: the last of two is the context, as in `[main] [user=7]`. */
function nameGroups(parsed: Parsed, groups: readonly string[]): void {
  const [thread, ...more] = groups.filter((text) => text !== '');
  if (thread !== undefined) parsed.attributes['thread'] = thread;
  if (more.length > 0) parsed.attributes['context'] = more.join(' ');
}

function springBootRest(parsed: Parsed, rest: string): boolean {
  const found = springBoot.exec(rest)?.groups;
  if (found === undefined) return false;
  const groups = inner(found['groups']!);
  // One is the thread; two are application and thread; a third is that of tracing.
  const names = groups.length === 1 ? ['thread'] : ['application', 'thread', 'correlation'];
  for (const [index, name] of names.entries()) if (groups[index]) parsed.attributes[name] = groups[index];
  parsed.attributes['pid'] = found['pid']!;
  parsed.module = found['module']!;
  parsed.message = found['message']!;
  return true;
}

/** Takes the logger and the message of what is left; `sure`: the layout has a place for a logger here. */
function takeLogger(parsed: Parsed, rest: string, sure: boolean): void {
  const found = logger.exec(rest)?.groups ?? className.exec(rest)?.groups;
  // A second severity is a word of the message: `ERROR - INFO: …`.
  const severe = found !== undefined && severityAlone.test(found['module']!);
  const named = found !== undefined && !severe && (sure || found['module']!.includes('.') || found['mark'] === ' - ');
  if (!named) {
    parsed.message = rest.replace(/^(?:- |: )/, '');
    return;
  }
  parsed.module = found['module']!;
  parsed.message = found['message']!;
  if (found['where']) parsed.attributes['where'] = found['where'].replace(/^[\s:(]+|\)$/g, '');
  const behind = inner(found['groups'] ?? '');
  if (behind.length === 0) return;
  parsed.attributes[parsed.attributes['thread'] === undefined ? 'thread' : 'context'] = behind.join(' ');
}

interface Group {
  readonly text: string;
  readonly round: boolean;
  /** Where it begins. */
  readonly at: number;
}

/** The group that is the name of a class, if one is. */
const dottedIn = (groups: readonly Group[]): number =>
  groups.findIndex(({ text, round }) => !round && /^[a-z][\w$]*(?:\.[\w$]+)+$/.test(text));

/**
 * Behind the logger in brackets and the thread or node behind it, brackets are words of the message: `[o.e.n.Node] [node-1] [index] created`.
 * Takes them back and gives the message, if there are any.
 */
function behindLogger(groups: Group[], text: string): string | undefined {
  const dotted = dottedIn(groups);
  if (dotted < 0) return undefined;
  const round = groups.findIndex((group, index) => index > dotted && group.round);
  const first = (round < 0 ? dotted + 1 : round) + 1;
  if (groups.length <= first) return undefined;
  const { at } = groups[first]!;
  groups.length = first;
  return text.slice(at);
}

/** Everything behind the time, piece by piece: severity, groups, logger, message. False if there is no severity. */
function readRest(parsed: Parsed, text: string): boolean {
  const groups: Group[] = [];
  let rest = text;
  for (;;) {
    const mark = /^\s*[-:|] /.test(rest);
    rest = rest.replace(gap, '').replace(/^[:,|](?=\s|[A-Z[])/, '');
    const severity = parsed.severity === undefined ? levelHere.exec(rest) : null;
    if (severity !== null) {
      parsed.severity = severity.groups!['level']!;
      rest = rest.slice(severity[0].length);
      if (springBootRest(parsed, rest.trimStart())) return true;
      continue;
    }
    const marked = parsed.severity === undefined ? markedLevel(rest) : undefined;
    if (marked !== undefined) {
      parsed.severity = marked.word;
      rest = rest.slice(marked.length);
      continue;
    }
    const found = group.exec(rest);
    // Kafka's own layout ends in its module: a bracket in front of its message is part of that.
    if (found === null) {
      const message = mark || parsed.severity === undefined ? undefined : behindLogger(groups, text);
      if (message !== undefined) rest = message;
      break;
    }
    const { square, round, curly } = found.groups!;
    const at = text.length - rest.length;
    groups.push({ text: (square ?? round ?? curly)!.trim(), round: round !== undefined, at });
    rest = rest.slice(found[0].length);
  }
  if (parsed.severity === undefined) {
    // Python and others put the logger before the severity: `app - INFO - message`.
    const early = new RegExp(String.raw`^(\S+)(?: -|:)? +\[?(${level})\]?(?: -|:)? +(.*)$`, 's').exec(rest);
    if (early === null) return false;
    [, parsed.module, parsed.severity, parsed.message] = early as unknown as [string, string, string, string];
    nameGroups(
      parsed,
      groups.map(({ text }) => text),
    );
    return true;
  }
  return settle(parsed, groups, rest);
}

/** Which of the groups is the logger, if one is: JBoss writes `[logger] (thread) message`, Elasticsearch `[logger] [node] message`. */
function settle(parsed: Parsed, groups: readonly Group[], rest: string): boolean {
  const dotted = dottedIn(groups);
  const threadBehind = groups.some(({ round }) => round);
  const named = (logger.exec(rest) ?? className.exec(rest))?.groups!['module'];
  // With a node behind it, only a dotted word can be the logger in its place: `[o.e.n.Node] [node-1] started - ready`.
  const early = named === undefined || (groups.length > dotted + 1 && !named.includes('.'));
  if (dotted >= 0 && (threadBehind || early)) {
    parsed.module = groups[dotted]!.text;
    parsed.message = rest.replace(/^(?:- |: )/, '');
    nameGroups(
      parsed,
      groups.filter((_, index) => index !== dotted).map(({ text }) => text),
    );
    return true;
  }
  nameGroups(
    parsed,
    groups.map(({ text }) => text),
  );
  // Spark's own template, known by its years of two digits, names the class without its package.
  takeLogger(parsed, rest, groups.length > 0 || /^\d\d\/\d\d\/\d\d /.test(parsed.time));
  return true;
}

const whole = (other: Other | undefined, time: string, more: string): Parsed | undefined =>
  other && { time, ...other, message: other.message + more };

function parse(text: string, more: string): Parsed | undefined {
  const first = levelFirst.exec(text)?.groups;
  const found = first ?? timeFirst.exec(text)?.groups;
  if (found === undefined) return whole(wholeLine(text), '', more);
  const parsed: Parsed = { time: (found['bracketed'] ?? found['stamp'])!, module: '', message: '', attributes: {} };
  if (first !== undefined) {
    parsed.severity = first['level']!;
    if (first['thread'] !== undefined) parsed.attributes['thread'] = first['thread'];
  }
  const next = twoLines.exec(more)?.groups;
  const alone = classAndMethod.test(found['rest']!) && !levelHere.test(found['rest']!.trim());
  if (next !== undefined && parsed.severity === undefined && alone) {
    parsed.severity = next['level']!;
    const [name = '', method] = found['rest']!.trim().split(' ');
    parsed.module = name;
    if (method !== undefined) parsed.attributes['where'] = method;
    parsed.message = next['message']!;
    return parsed;
  }
  const other = first === undefined ? behindTime(found['rest']!) : undefined;
  if (other !== undefined) return whole(other, parsed.time, more);
  if (!readRest(parsed, found['rest']!)) return undefined;
  // Kafka's layout without a module keeps its message as it is, whatever looks like a logger in it.
  parsed.message += more;
  return parsed;
}

/** `17/06/09` in Spark's own template is year, month, day; an epoch of log4j's DATE may have a colon before its fraction. */
const timeText = (text: string): string =>
  text
    .replace(/^(\d\d)\/(\d\d)\/(\d\d) /, '20$1-$2-$3 ')
    .replace(/:(\d{3})$/, (all, millis: string, at: number) =>
      at > 12 && /\d\d:\d\d:\d\d:\d{3}$/.test(text) ? `.${millis}` : all,
    );

/** Makes the reader of what the grammar of Kafka's layout does not read. It gives undefined for what is no line of a logger. */
export function loggingVariants(format: GrammarFormat, dataDay: number): VariantReader {
  const zoneName = format.zone ?? 'Z';
  const instant = instantReader({ east: zoneSeconds(zoneName), dataDay }, zoneName);
  return (text, more): TextRow | readonly Violation[] | undefined => {
    const parsed = parse(text, more);
    if (parsed === undefined) return undefined;
    const { severity, module, message, attributes } = parsed;
    const parts = {
      time: instant(timeText(parsed.time)),
      severity: severityOfWord(severity!) ?? severity!,
      module,
      message,
      attributes: Object.keys(attributes).length === 0 ? undefined : jsonbText(attributes),
    };
    return rowOrViolations(parts, undefined, [], true);
  };
}
