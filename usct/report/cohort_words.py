"""What the numbers of a cohort's report mean, beside each table and figure."""

from usct.evaluation.intervals import N_RESAMPLES

OVERVIEW = (
    "Medians over the cases with a result; in brackets the 95 % confidence interval of the median (BCa "
    f"bootstrap, {N_RESAMPLES} resamples; Efron 1987). P90, P10: 90th and 10th percentile, on the side "
    "of the bad cases. n: cases. RMSE, MAE, bias: of "
    "the sound speed inside the object, image minus truth. SSIM (Wang 2004) and PSNR use a fixed range of "
    "200 m/s. Resolved detail: half the period at which the Fourier ring correlation with the truth falls "
    "below 0.5. A failure has no result, is no better than its start, or is wrong by more than half a "
    "period of the highest frequency on more than 2 % of straight rays; its interval is Wilson's."
)

MONTAGE = (
    "Cases by RMSE among those with a result. Slow tissue is dark, fast tissue bright; windows are fixed, "
    "not fitted to the image. Of a volume the middle slice is shown."
)

DISTRIBUTIONS = "Each point is a case; the thick line is the median, the thin one spans the quartiles."

METHODS_COMPARED = (
    "Paired by case: only cases with a result of both methods count, the others are named as left out, "
    "which favours a method that fails on hard cases. Interval: BCa bootstrap of the mean difference. p: "
    f"signs of the differences flipped at random (Fisher 1935), two-sided, {N_RESAMPLES} times, "
    "corrected over all rows of this table by Holm (1979, family-wise error) and Benjamini & Hochberg "
    "(1995, false discoveries). First lower: share of cases in which the first method's number is lower. "
    "A small p says nothing of the size of a difference; the interval does."
)

LESIONS = (
    "Medians over lesions with bootstrap intervals, lesions of one case taken as independent. Contrast: "
    "mean inside less mean of the tissue most frequent 2 to 6 mm outside; recovery: image's over truth's, "
    "where the truth's is 5 m/s or more. CNR: contrast over the root-mean-square standard deviation of "
    "both. Size: diameter of the circle as large as what exceeds half the contrast. Edges: of lesions of "
    "8 mm or more, from a fitted error function. Detection: a channelized Hotelling observer (six "
    "Laguerre-Gauss channels of 12 mm; Gallas & Barrett 2003) rates lesions and two lesion-free places of "
    "like tissue for each, trained on all cases but the one it rates. AUC interval: percentile bootstrap "
    "of whole cases (Rutter 2000); none is given for fewer than five cases, nor where all lesions are "
    "told apart, since it would have no width. 'truth' is the same observer on the true images: what the "
    "task allows. A numerical observer is not a reader."
)

AGREEMENT = (
    "Bias and 95 % limits of agreement with their 95 % intervals (Bland & Altman 1986, 1999); bands show "
    "the intervals of the limits. Slope: of the difference over the mean of both; where its interval "
    "leaves out zero, the limits do not suit all values alike. Lesions of one case count as independent. "
    "ICC(2,1): Shrout & Fleiss 1979; concordance: Lin 1989. Mean sound "
    "speed: over the whole breast, skin included. Dense share: of the interior, what is faster than 1490 "
    "m/s; class by the nearest of the shares 5, 15, 34 and 60 %. Repeatability: these results hold no "
    "repeated scans, so it was not assessed."
)

RESOLUTION = (
    "Fourier ring correlation of image and truth, both faded to zero at the object's surface (Saxton & "
    "Baumeister 1982); line: median over cases, band: quartiles. Detail below the line at 0.5 does not "
    "count as resolved."
)

KERNELS = (
    "Medians over the diagnosed runs. Eigenvalues of the wave tangent kernel over the largest, one line "
    "for each run: gradient steps shrink each pattern of the residuals at a rate proportional to its "
    "eigenvalue. Numbers determined: how many numbers the data fix at their level of noise."
)

FAILURES = (
    "Spearman's correlation with the interval of Bonett & Wright (2000); exploratory, without correction, "
    "and over the runs with a result alone."
)
