// Follows the workspace: asks for a change, then takes the new messages. What is
// clicked or typed is sent without leaving the page.
"use strict";
document.addEventListener("submit", async (e) => {
  e.preventDefault();
  const by = e.submitter, form = e.target;
  if (by?.dataset.confirm && !confirm(by.dataset.confirm)) return;
  const url = by?.hasAttribute("formaction") ? by.formAction : form.getAttribute("action");
  const answer = await fetch(url, { method: "POST", body: new URLSearchParams(new FormData(form, by)) });
  if (!answer.ok) return alert(await answer.text());
  if (form.matches(".write")) form.reset();
  if (form.matches(".go")) location.href = answer.url;
});
(async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  for (;;) {
    try {
      const old = document.querySelector("main");
      const news = await fetch("changes?version=" + old.dataset.version);
      if (news.status !== 200) {
        if (!news.ok) await pause(1000);
        continue;
      }
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      const atEnd = innerHeight + scrollY >= document.body.scrollHeight - 80;
      const typing = document.activeElement, typed = typing?.value;
      const answer = () => [...document.querySelectorAll(".private")].pop()?.id;
      const answered = answer();
      old.replaceWith(page.querySelector("main"));
      const again = typing?.id && document.getElementById(typing.id);
      if (again && again !== typing) {
        again.value = typed;
        again.focus({ preventScroll: true });
      }
      const modal = document.querySelector("aside"), next = page.querySelector("aside");
      if (modal.innerHTML !== next.innerHTML) modal.replaceWith(next);
      if (answer() !== answered) document.getElementById(answer()).scrollIntoView({ block: "center" });
      else if (atEnd) scrollTo(0, document.body.scrollHeight);
    } catch {
      await pause(1000);
    }
  }
})();
