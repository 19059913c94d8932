// What is promised here: whatever the upstream's texts hold, the page shows them as text; the same day is the same page.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { pageOf } from '../../src/activities/daily-report/page.ts';
import { publish } from '../../src/activities/daily-report/publish.ts';
import { dailyFigures, type Quake } from '../../src/activities/daily-report/quake.ts';
import { armFailpoints } from '../../src/store/failpoint.ts';

const quake = (more: Partial<Quake> = {}): Quake => ({
  id: 'q1',
  time: '2018-02-03T04:05:06.000Z',
  updated: '2018-02-03T05:00:00.000Z',
  magnitude: 5.1,
  magnitude_type: 'mb',
  place: 'somewhere',
  kind: 'earthquake',
  longitude: 1,
  latitude: 2,
  depth_km: 10,
  significance: 700,
  tsunami: false,
  status: 'reviewed',
  url: null,
  ...more,
});
const page = (quakes: readonly Quake[], letters = 0): string => {
  const figures = dailyFigures('2018-02-03');
  for (const one of quakes) figures.add(one);
  return pageOf({
    run: 'daily-report/2018-02-03',
    dataDate: '2018-02-03',
    asOf: new Date('2018-02-04T06:00:00.000Z'),
    origin: 'live',
    counts: { read: quakes.length + letters, loaded: quakes.length, unchanged: 0, letters },
    quakes,
    metrics: figures.metrics(),
  });
};
const tagsOf = (html: string): string[] => [...html.matchAll(/<\/?([a-z][a-z0-9]*)/g)].map(([, tag]) => tag!);

describe('the page of a day', () => {
  it('shows texts from outside as text', () => {
    const plain = tagsOf(page([quake()]));
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom('', '<script>', '"><img src=x onerror=y>', "'</td>"),
        (text, evil) => {
          const html = page([quake({ place: `${text}${evil}` })]);
          expect(tagsOf(html)).toEqual(plain);
          expect(html).not.toContain('<script');
        },
      ),
    );
    expect(page([quake({ place: '<b>&' })])).toContain('&#60;b&#62;&#38;');
  });

  it('is the same for the same day, and has something to say about a day without quakes', () => {
    expect(page([quake()])).toBe(page([quake()]));
    expect(page([])).toContain('No event has a magnitude.');
    expect(page([quake()], 1)).toContain('1 record is missing here');
  });

  it('has its figures in the order of a reader, their points below each other', () => {
    const some = [quake({ magnitude: 5.25 }), quake({ id: 'b', magnitude: 2, depth_km: 1_234.56, kind: 'explosion' })];
    const html = page(some);
    const rows = [...html.matchAll(/<tr><th scope="row">([^<]*)<\/th><td>([^<]*)<\/td>/g)].map(([, name, value]) => [
      name,
      value!,
    ]);
    expect(rows.map(([name]) => name)).toEqual([
      'Events',
      'Of these: earthquake',
      'Of these: explosion',
      'Magnitude 2.5 and above',
      'Magnitude 4.5 and above',
      'Largest magnitude',
      'Mean magnitude',
      'Deepest, in km',
      'With a tsunami warning',
      'Significant (600 and above)',
      'Highest significance',
    ]);
    for (const [, title] of html.matchAll(/<th scope="col"(?! class="number")>([^<]*)</g))
      expect(['Where', 'UTC']).toContain(title);
    // Each ends with a point (or a blank as wide) and two digits (or blanks as wide).
    for (const [, value] of rows) expect(value).toMatch(/^[\d,]+[.\u2008][\d\u2007]{2}$/);
    expect(new Map(rows as [string, string][]).get('Deepest, in km')).toBe('1,234.6\u2007');
    expect(new Map(rows as [string, string][]).get('Events')).toBe('2\u2008\u2007\u2007');
  });

  it('leaves out figures of nothing instead of calling them 0', () => {
    const figures = dailyFigures('2018-02-03');
    figures.add(quake({ magnitude: null, depth_km: null, significance: null }));
    expect(figures.metrics().map(({ metric_id: id }) => id)).toEqual([
      'quakes',
      'quakes_earthquake',
      'quakes_m2_5',
      'quakes_m4_5',
      'significant',
      'tsunami',
    ]);
  });
});

describe('publishing', () => {
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-publish-'));
  afterEach(() => {
    armFailpoints('');
    rmSync(dir, { recursive: true, force: true });
  });

  it('shows the old page or the new one, and leaves nothing beside it', async () => {
    const file = await publish(dir, 'p.html', 'one');
    armFailpoints('report.beforeRename:throw');
    await expect(publish(dir, 'p.html', 'two')).rejects.toThrow('Failpoint');
    expect(readFileSync(file, 'utf8')).toBe('one');
    armFailpoints('');
    await publish(dir, 'p.html', 'two');
    expect(readFileSync(file, 'utf8')).toBe('two');
    expect(readdirSync(dir)).toEqual(['p.html']);
  });
});
