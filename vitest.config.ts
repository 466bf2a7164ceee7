import { defineConfig } from "vitest/config";

export default defineConfig({
  // Vitest leaves a core idle by itself, which of two is half.
  test: { maxWorkers: "100%", include: ["test/**/*.test.ts"], testTimeout: 30_000, hookTimeout: 60_000 },
});
