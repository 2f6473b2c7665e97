// Copy and print buttons: shown only where a script can make them work; copying says it happened.
(() => {
  const reveal = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) {
      button.hidden = !navigator.clipboard;
    }
    for (const button of root.querySelectorAll("[data-print]")) button.hidden = false;
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) window.print();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.textContent.trim());
    // The first text alone: what follows it says to a screen reader which thing is copied.
    const label = button.firstChild;
    const words = button.dataset.words ?? label.textContent;
    button.dataset.words = words;
    label.textContent = button.dataset.copied;
    setTimeout(() => (label.textContent = words), 2000);
  });
  document.addEventListener("htmx:load", (event) => reveal(event.detail.elt));
  reveal(document);
})();
