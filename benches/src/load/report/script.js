// Without this the page says the same. With it, a server of the legend can be picked out of all plots.
for (const item of document.querySelectorAll('ul.legend li[data-series]')) {
  item.setAttribute('role', 'button');
  item.setAttribute('tabindex', '0');
  item.setAttribute('aria-pressed', 'false');
  const toggle = () => {
    const on = item.getAttribute('aria-pressed') !== 'true';
    for (const other of document.querySelectorAll('ul.legend li')) other.setAttribute('aria-pressed', 'false');
    item.setAttribute('aria-pressed', String(on));
    document.body.classList.toggle('chosen', on);
    for (const series of document.querySelectorAll('svg .series')) {
      series.classList.toggle('chosen', on && series.dataset.series === item.dataset.series);
    }
  };
  item.addEventListener('click', toggle);
  item.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); toggle(); }
  });
}
