// What is promised here: a declaration that would lead calls or credentials elsewhere is refused before anything runs.
import { describe, expect, it } from 'vitest';
import { faultsOfUpstreams } from '../../src/model/upstream.ts';

describe('a probe', () => {
  const faultsOf = (probe: string): string[] =>
    faultsOfUpstreams({ 'http:api': { address: 'https://api.example/v1', probe } });

  it.each(['/health', '/health?deep=1', '/'])('%s is a path of the upstream', (probe) => {
    expect(faultsOf(probe)).toEqual([]);
  });

  it.each(['https://elsewhere.example/health', 'health', '', 'file:///etc/passwd'])('%j is refused', (probe) => {
    expect(faultsOf(probe)).toEqual([
      `Upstream "http:api" has the probe "${probe}"; it is a path below its address, such as "/health".`,
    ]);
  });

  it('of what does not speak HTTP is refused: it would never be sent, and no run in its place', () => {
    expect(faultsOfUpstreams({ 'db:reporting': { address: 'the sink store', probe: '/health' } })).toEqual([
      'Upstream "db:reporting" has the probe "/health", which is a GET, and the address "the sink store" is none of HTTP.',
    ]);
  });
});
