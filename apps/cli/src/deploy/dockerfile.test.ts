import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Copy, DockerfileParser, type From, type JSONInstruction } from 'dockerfile-ast';
import { describe, expect, test } from 'vitest';
import { REPOSITORY_ROOT } from '../home.ts';
import { sourceOf } from '../testing/compose-file.ts';

const dockerfile = DockerfileParser.parse(readFileSync(join(REPOSITORY_ROOT, 'Dockerfile'), 'utf8'));
const instructions = dockerfile.getInstructions();
const last = <T>(keyword: string) =>
  instructions.filter((each) => each.getKeyword() === keyword).at(-1) as T | undefined;
const finalStage = instructions.slice(instructions.findLastIndex((each) => each.getKeyword() === 'FROM'));

describe('Dockerfile', () => {
  test('has several stages, each of an image with a version or of an earlier stage', () => {
    const stages = dockerfile.getFROMs();
    expect(stages.length).toBeGreaterThan(1);
    const names = stages.map((stage: From) => stage.getBuildStage());
    for (const [index, stage] of stages.entries()) {
      const image = stage.getImage() ?? '';
      const earlier = names.slice(0, index).includes(image);
      expect(earlier || image.replace(/[${}]/g, '') === 'NODE_IMAGE', image).toBe(true);
    }
    const argument = instructions.find((each) => each.getKeyword() === 'ARG')?.getArgumentsContent();
    expect(argument).toMatch(/^NODE_IMAGE=node:\d+-\w+-slim$/);
  });

  test('runs as a user that is not root', () => {
    const user = finalStage
      .filter((each) => each.getKeyword() === 'USER')
      .at(-1)
      ?.getArgumentsContent();
    expect(user).toBe('node');
  });

  test('starts and checks programs that exist', () => {
    const command = last<JSONInstruction>('CMD')
      ?.getJSONStrings()
      .map((each) => each.getJSONValue());
    expect(command?.[0]).toBe('node');
    expect(existsSync(sourceOf(String(command?.[1]))), String(command)).toBe(true);
    const [, check = ''] =
      /CMD \["node", "([^"]+)"/.exec(last<JSONInstruction>('HEALTHCHECK')?.getRawArgumentsContent() ?? '') ?? [];
    expect(existsSync(sourceOf(check)), check).toBe(true);
  });

  test('copies what exists', () => {
    const stages = dockerfile.getFROMs().map((stage) => stage.getBuildStage());
    for (const copy of instructions.filter((each) => each.getKeyword() === 'COPY') as Copy[]) {
      const from = copy.getFromFlag()?.getValue();
      if (from !== undefined) expect(stages).toContain(from);
      const sources = copy
        .getArguments()
        .slice(0, -1)
        .map((each) => each.getValue());
      if (from === undefined) expect(sources.filter((each) => !existsSync(join(REPOSITORY_ROOT, each)))).toEqual([]);
    }
  });

  test('leaves secrets, history and built files out of its context', () => {
    const ignored = readFileSync(join(REPOSITORY_ROOT, '.dockerignore'), 'utf8').split('\n');
    for (const path of ['.env', '.git', '.nightshift', '**/node_modules', '**/dist']) expect(ignored).toContain(path);
  });
});
