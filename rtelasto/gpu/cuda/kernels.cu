// Every kernel, in the order in which a frame meets them.

KERNEL(demodulate, DemodulateScratch)
KERNEL(block_energy, EnergyScratch)
KERNEL(frame_statistics, StatisticsScratch)

KERNEL(start, StartScratch)
KERNEL(measure, MeasureScratch)
KERNEL(advance, RefineScratch)
KERNEL(judge, ScoreScratch)
KERNEL(envelope, NoScratch)
KERNEL(texture, NoScratch)
KERNEL(volumes, NoScratch)
KERNEL(votes, NoScratch)
KERNEL(tilts, TiltScratch)
KERNEL(propose, ProposeScratch)
KERNEL(conclude, ScoreScratch)
KERNEL(resample, ResampleScratch)
KERNEL(scale, EnergyScratch)

KERNEL(compose, NoScratch)
KERNEL(agreement, AgreementScratch)
KERNEL(correlation, NoScratch)
KERNEL(medians, MedianScratch)
