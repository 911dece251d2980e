// The time bar zooms: by a drag, and by links that need no script. What is chosen stays.
import type { APIRequestContext, Page } from "@playwright/test";
import { demo, expect, signIn, test } from "../support/demo";

/** Waits until the demo has told its story: then there is something to zoom into. */
async function told(request: APIRequestContext) {
  await expect
    .poll(
      async () => {
        const answer = await request.get(`${demo.url}/api/v1/clusters/main/recovery-window`, { headers: { authorization: `Bearer ${demo.token}` } });
        return (await answer.json()).gaps.some((gap: { to: string | null }) => gap.to !== null);
      },
      { timeout: 600_000, intervals: [1_000] },
    )
    .toBe(true);
}

const part = (page: Page) => page.locator(".timebar").evaluate((bar) => [Number((bar as HTMLElement).dataset.from), Number((bar as HTMLElement).dataset.to)]);

test("a drag zooms, a click chooses, and the one keeps the other", async ({ page, request }) => {
  test.setTimeout(900_000);
  await told(request);
  await signIn(page, "viewer", "/recovery");
  await page.locator(".timebar a .slot").last().click({ force: true });
  await expect(page).toHaveURL(/\/recovery\?at=/);
  const at = new URL(page.url()).searchParams.get("at");
  const whole = await part(page);
  const box = (await page.locator(".timebar").boundingBox())!;
  const y = box.y + 45;
  await page.mouse.move(box.x + box.width * 0.5, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, y);
  await expect(page.locator(".timebar .drag")).toBeVisible();
  await page.mouse.move(box.x + box.width, y);
  await page.mouse.up();
  await expect(page).toHaveURL(/since=.+&until=/);
  expect(new URL(page.url()).searchParams.get("at")).toBe(at);
  const zoomed = await part(page);
  expect((zoomed[1] - zoomed[0]) / (whole[1] - whole[0])).toBeGreaterThan(0.4);
  expect((zoomed[1] - zoomed[0]) / (whole[1] - whole[0])).toBeLessThan(0.6);
  await expect(page.locator(".timebar line.cursor")).toHaveCount(1);
  // A click in the part chooses within it.
  await page.locator(".timebar a .slot").last().click({ force: true });
  await expect(page).toHaveURL(/at=.+since=.+until=/);
  // A drag that is given up changes nothing.
  await page.mouse.move(box.x + box.width * 0.2, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y);
  await page.keyboard.press("Escape");
  await page.mouse.up();
  await expect(page.locator(".timebar .drag")).toBeHidden();
  await page.getByRole("link", { name: "All", exact: true }).click();
  await expect(page).not.toHaveURL(/since=/);
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("links zoom and move", async ({ page, request }) => {
    test.setTimeout(900_000);
    await told(request);
    await signIn(page, "viewer", "/recovery");
    const zoom = page.getByRole("navigation", { name: "Part of the time bar" });
    await zoom.getByRole("link", { name: "Zoom in" }).click();
    await expect(page).toHaveURL(/since=.+until=/);
    const [from] = [new URL(page.url()).searchParams.get("since")!];
    await zoom.getByRole("link", { name: "Earlier" }).click();
    await expect.poll(() => new URL(page.url()).searchParams.get("since")! < from).toBe(true);
    await zoom.getByRole("link", { name: "All" }).click();
    await expect(page).not.toHaveURL(/since=/);
  });
});
