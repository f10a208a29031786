// All kernels, in the order in which they process a frame.

KERNEL(echoes, EchoScratch)
KERNEL(demodulate, DemodulateScratch)
KERNEL(block_energy, EnergyScratch)
KERNEL(frame_statistics, StatisticsScratch)

KERNEL(start, NoScratch)
KERNEL(refine, RefineScratch)
KERNEL(envelope, NoScratch)
KERNEL(texture, NoScratch)
KERNEL(volumes, NoScratch)
KERNEL(votes, NoScratch)
KERNEL(tilts, TiltScratch)
KERNEL(propose, ProposeScratch)
KERNEL(conclude, NoScratch)
KERNEL(resample, ResampleScratch)
KERNEL(scale, EnergyScratch)

KERNEL(compose, NoScratch)
KERNEL(agreement, AgreementScratch)
KERNEL(correlation, NoScratch)
KERNEL(medians, MiddleScratch)
