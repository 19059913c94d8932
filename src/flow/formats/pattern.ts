// What lives here: line formats that a user declares as a pattern with named groups.
// Invariant: the pattern runs on RE2, in time that grows with the line and not with its tricks: lines come from strangers.
// Apart because each line format is one file.
import { RE2JS } from 're2js';
import type { PatternFormat } from '../parse/format.ts';
import { jsonbText } from '../parse/jsonb.ts';
import { zoneSeconds } from '../parse/time.ts';
import { instantReader, rowOrViolations, type TextReader } from './text-row.ts';

const columns = ['time', 'severity', 'module', 'message'];

/** Makes the reader of a declared pattern. Throws RangeError if RE2 cannot read it or it has no group `time` or `message`. */
export function patternReader(format: PatternFormat, dataDay: number): TextReader {
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(format.pattern, RE2JS.DOTALL);
  } catch (cause) {
    throw new RangeError(`Format "${format.name}": RE2 cannot read its pattern: ${String(cause)}`, { cause });
  }
  const names = Object.keys(pattern.namedGroups());
  for (const needed of ['time', 'message'])
    if (!names.includes(needed))
      throw new RangeError(`Format "${format.name}" has no group (?P<${needed}>…) in its pattern.`);
  const attributeNames = names.filter((name) => !columns.includes(name));
  const zone = format.zone ?? 'Z';
  const instant = instantReader({ east: zoneSeconds(zone), dataDay }, zone);
  return (text) => {
    const found = pattern.matcher(text);
    if (!found.matches())
      return [
        { field: 'line', code: 'line_shape', message: `The line does not match the pattern of "${format.name}".` },
      ];
    const group = (name: string): string | undefined =>
      names.includes(name) ? (found.group(name) ?? undefined) : undefined;
    const attributes: Record<string, string> = {};
    for (const name of attributeNames) {
      const value = group(name);
      if (value !== undefined) attributes[name] = value;
    }
    const parts = {
      time: instant(group('time') ?? ''),
      severity: group('severity') ?? format.severityDefault,
      module: group('module') ?? format.moduleDefault,
      message: group('message') ?? '',
      attributes: attributeNames.length === 0 ? undefined : jsonbText(attributes),
    };
    return rowOrViolations(parts, format.severities);
  };
}
