import { expect, test } from "vitest";
import { AddressMap } from "../../../src/dataplane/policy/address-map.js";
import { Address, formatAddress } from "../../../src/dataplane/wire/index.js";
import { chanceFromSeed, ip } from "./samples.js";

test("an address-map equals a Map with text keys", () => {
  const chance = chanceFromSeed();
  const map = new AddressMap<number>();
  const model = new Map<string, number>();
  const word = (): number => chance.pick([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, chance.below(2 ** 32)]);
  const address = (): Address =>
    chance.below(2)
      ? new Address(4, 0, 0, 0xffff, word())
      : new Address(6, chance.pick([0, word()]), 0, 0xffff, word());
  for (let step = 0; step < 20_000; step++) {
    const [scope, key] = [chance.below(4) - 1, address()];
    const text = `${scope} ${key.family} ${formatAddress(key)}`;
    expect(map.find(scope, key), `seed ${chance.seed} step ${step}`).toBe(model.get(text));
    map.set(scope, key, step);
    model.set(text, step);
    expect(map.size).toBe(model.size);
  }
});

test("10.0.0.5 and ::ffff:10.0.0.5 are two keys", () => {
  const map = new AddressMap<string>();
  map.set(0, ip("10.0.0.5"), "IPv4");
  expect(map.find(0, ip("::ffff:10.0.0.5"))).toBeUndefined();
  map.set(0, ip("::ffff:10.0.0.5"), "IPv6");
  expect(map.find(0, ip("10.0.0.5"))).toBe("IPv4");
});
